//! The daemon under systemd: against a stand-in for version 219, and in a machine that a real one has booted; and
//! what the unit files say to either.

mod booted;
mod keys;
mod machine;
mod old;
mod old_site;
mod restart;

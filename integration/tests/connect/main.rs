//! `v6pod-connect`: a socket of mode 0600, and users who attach all the same, as themselves.
//!
//! [`ways`] goes the way that users go, with the real daemon. [`attacks`] starts the program itself in every
//! hostile way: `attack.py` does so as a user and tells what came of it, `witness.py` stands in for the daemon
//! and tells who came. Whatever is tried, the program has given up root for good by the time its user has
//! anything of it, and the daemon's side sees that user.

mod attacks;
mod site;
mod ways;

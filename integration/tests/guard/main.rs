//! The guard, attacked by a container's root. Every attack is also made with the guard off: the control
//! that shows that it works.

mod caches;
mod ebtables;
mod forged;
mod inbound;
mod isolation;
mod ruleset;
mod site;
mod survival;

//! What happens when something dies or fails at the worst moment: the daemon after each step of an attach
//! and of a detach, a step itself, a namespace in the middle of it, the bridge, the disk.
//!
//! What is seen each time: containers that were up are up, with their address and name, and lose nothing;
//! what was half attached is gone or whole; nothing is left behind.

mod admin;
mod deaf;
mod disk;
mod fail;
mod given_up;
mod kill;
mod lifetime;
mod site;
mod steps;

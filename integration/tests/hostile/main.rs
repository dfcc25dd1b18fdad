//! What a hostile local user can send the daemon: each attack is refused with a precise sentence, changes
//! nothing on the host, costs the daemon nothing that lasts, and keeps nobody else waiting.
//!
//! The attacks come from this process: a thread takes a user's identity ([`caller::as_uid`]), connects, and
//! passes whatever descriptors the test opened. To the kernel, and so to the daemon, that is the user.

mod caller;
mod claims;
mod configuration;
mod crowds;
mod fields;
mod floods;
mod frames;
mod full_tilt;
mod fuse;
mod handshake;
mod holder;
mod http2;
mod identity;
mod leases;
mod races;
mod site;
mod strangers;

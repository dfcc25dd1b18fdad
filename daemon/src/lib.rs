//! v6podd gives rootless containers a routable IPv6 address and a name.
//!
//! Data flows one way, and each hop takes the type that the one before it made, so that what was not
//! authorised does not compile:
//!
//! ```text
//! socket -> api -> auth -> policy -> service -> { ipam, network, guard, registry, audit }
//! Caller           Peer    Grant     Attachment -> store            (service alone combines them)
//! ```

pub mod api;
pub mod audit;
pub mod auth;
pub mod config;
pub mod fault;
pub mod guard;
pub mod ipam;
pub mod model;
pub mod network;
pub mod policy;
pub mod registry;
pub mod service;
pub mod socket;
pub mod store;
mod sys;
mod systemd;

mod backoff;
mod cleanup;
mod confine;
mod log;
mod reload;
mod run;

pub use run::{command, main};

//! All `unsafe` of the daemon: five small wrappers around system calls, and what is like
//! them, that no safe crate offers.
//!
//! Everything here takes and gives owned or borrowed descriptors and plain values; no pointer leaves.
#![allow(unsafe_code)]

pub mod inherited;
pub mod nsfs;
pub mod packet;
pub mod peer;
pub mod pipe;
pub mod process;

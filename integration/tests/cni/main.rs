//! The CNI plugin: executed as a runtime does, by CNI's own cnitool, and by podman with its CNI backend.
//! Whatever the specification (0.3.1 to 1.1.0) says of results and errors is held against it.

#![allow(clippy::needless_pass_by_value, reason = "json! makes values")]

mod chain;
mod errors;
mod hidden;
mod site;
mod sweep;
mod verbs;

//! The client that container engines start, and the core its ways in share.
//!
//! One binary, `v6pod-shim`, decides by the name it is called with what it is. Every way in finds out
//! which namespace and which container it is about, and leaves the call to [`activate`]; that module and
//! [`connect`] know how to talk to the daemon and nothing about container engines.
//!
//! The crate runs in every user's process tree, often as the root of a user namespace: it has few
//! dependencies, no `unsafe`, and it trusts nothing but the kernel.

#![forbid(unsafe_code)]

pub mod activate;
pub mod channel;
pub mod cni;
mod conf;
pub mod connect;
pub mod connector;
mod files;
pub mod find;
pub mod hook;
mod input;
pub mod lease;
mod netavark;
pub mod rpc;
pub mod say;
pub mod settings;
pub mod slirp4netns;

/// What a fuzzer feeds, one function for each way in.
#[cfg(fuzzing)]
pub mod fuzz {
    pub use crate::{
        cni::fuzz::cni, hook::fuzz::hook, netavark::fuzz::netavark, slirp4netns::fuzz::slirp4netns,
    };
}

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

/// What is said to somebody who calls the program by a name that means nothing.
const USAGE: &str = "v6pod-shim is not called by its own name. Link it as one of these:
  slirp4netns, v6pod-slirp4netns   a stand-in for slirp4netns that gives containers IPv6
  v6pod, v6pod-netavark            a netavark plugin, in a folder of such
  v6pod, v6pod-cni                 a CNI plugin, in a folder of such
  v6pod-hook                       an OCI hook for the stages createRuntime and poststop
Settings are read from /etc/v6pod/client.toml.";

/// Does what the program's name, the first of `arguments`, asks for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let called = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some("slirp4netns" | "v6pod-slirp4netns") => slirp4netns::run(&called, &rest),
        // The other ways in of this name are told what to do by the environment.
        Some("v6pod") if netavark::is_command(rest.first()) => netavark::run(&rest),
        Some("v6pod-netavark") => netavark::run(&rest),
        Some("v6pod") if cni::is_called() => cni::run(),
        Some("v6pod-cni") => cni::run(),
        Some("v6pod-hook") => hook::run(&rest),
        _ => {
            say::usage(USAGE);
            ExitCode::from(2)
        }
    }
}

//! The contract of v6pod: the package `v6pod.v1`, generated from the documented `.proto` files beside
//! this crate. Read those; this is their translation.

/// The package `v6pod.v1`.
#[allow(missing_docs, clippy::all, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("v6pod.v1");
}

/// The `FileDescriptorSet` of `v6pod.v1` and what it imports, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Where the daemon listens unless it is told otherwise.
pub const SOCKET: &str = "/run/v6pod/v6pod.sock";

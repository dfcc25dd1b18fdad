//! Who is calling, and is this namespace theirs? Identity comes from the kernel, never from the caller.
//!
//! # Theory of operation
//! [`Peer`] is made from a connected socket and from nothing else. [`Namespace`] and [`Lease`] are made
//! from descriptors that a stranger passed, and only if the kernel confirms what they are. A passed
//! descriptor may be anything: a file on a FUSE file system can pretend to be a namespace, and can hang
//! whoever asks its file system anything, be it only `close`. So it stays an [`Unproven`] until a
//! question that runs no code of the file's own has been answered, and is closed on a thread apart.

mod closer;
mod holders;
mod lease;
mod namespace;
mod peer;
pub mod subid;
pub mod users;

pub use closer::{Closing, Unproven};
pub use holders::Holders;
pub use lease::{Found, Lease};
pub use namespace::{Host, Namespace, Proof};
pub use peer::Peer;
pub use subid::Subids;
pub use users::Users;

use crate::model::NamespaceId;

/// What a caller passed with its connection, in this order.
#[derive(Debug)]
pub struct Passed {
    /// The namespace.
    pub namespace: Option<Unproven>,
    /// The lease.
    pub lease: Option<Unproven>,
}

/// Why a caller was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No namespace came with the connection.
    #[error(
        "no network namespace was passed: send its descriptor with SCM_RIGHTS beside the first bytes of the connection (v6pod attach does)"
    )]
    NoDescriptor,
    /// The first descriptor is something else.
    #[error("the first descriptor that was passed is not a network namespace")]
    NotANamespace,
    /// The second descriptor is not the read end of a pipe.
    #[error("the second descriptor that was passed is not the read end of a pipe")]
    NotALease,
    /// The host's own namespace.
    #[error("this is the host's own network namespace")]
    HostNamespace,
    /// Somebody else's.
    #[error(
        "the network namespace does not belong to uid {uid}: its user namespace was made by another user"
    )]
    NotYours {
        /// The caller.
        uid: u32,
    },
    /// The kernel would not say.
    #[error("the kernel would not say whose network namespace this is: {0}")]
    Unknown(#[source] std::io::Error),
}

/// The identity of an open namespace file.
pub(crate) fn identity(file: impl std::os::fd::AsFd) -> std::io::Result<NamespaceId> {
    let stat = rustix::fs::fstat(file)?;
    Ok(NamespaceId { device: stat.st_dev, inode: stat.st_ino })
}

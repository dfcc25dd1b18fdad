//! Is this a network namespace, and is it the caller's?
//!
//! # Theory of operation
//! 1. `RTM_GETNSID` with the descriptor: the kernel compares pointers and runs no code of the file's
//!    file system. What it rejects is no network namespace (a pidfd, which setns(2) would take, is
//!    rejected too).
//! 2. Not the host's own: device and inode.
//! 3. Root may pass any other. For everyone else the user namespace that owns it, or an ancestor of
//!    that one below the initial one, has to be owned by the caller: such a user has every capability
//!    over it (user_namespaces(7)), so we let them do nothing they could not do inside themselves.
//!    Either the nsfs ioctls say so, or, on kernels without them, the probe.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{io::Errno, process::Uid, thread::set_thread_res_uid};
use serde::Deserialize;

use super::{Error, Peer, Unproven, identity};
use crate::{
    model::NamespaceId,
    network::{inside, netlink::Socket},
    sys::nsfs,
};

/// How deep user namespaces may be nested: 32 (user_namespaces(7)).
const DEEPEST: usize = 33;

/// How ownership of a namespace is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By ioctls where the kernel has them, else by the probe.
    #[default]
    Auto,
    /// By the nsfs ioctls (Linux 4.11).
    Ioctl,
    /// By taking the caller's effective uid inside the namespace and trying something that only its
    /// owner may.
    Probe,
}

/// What is known of the host's own namespaces, once, at the start.
#[derive(Debug)]
pub struct Host {
    network: NamespaceId,
    user: NamespaceId,
    probe: bool,
}

impl Host {
    /// Looks at the daemon's own namespaces.
    ///
    /// # Errors
    /// /proc is not there, or ioctls were asked for and the kernel has none.
    pub fn look(proof: Proof) -> io::Result<Self> {
        let network = File::open("/proc/self/ns/net")?;
        let user = File::open("/proc/self/ns/user")?;
        let has_ioctls = nsfs::supported(&network);
        if proof == Proof::Ioctl && !has_ioctls {
            return Err(io::Error::other(
                "this kernel has no NS_GET_USERNS: write namespace_proof = \"probe\"",
            ));
        }
        let probe = proof == Proof::Probe || !has_ioctls;
        Ok(Self { network: identity(&network)?, user: identity(&user)?, probe })
    }
}

/// A network namespace that is proven to be the caller's, and not the host's.
#[derive(Debug)]
pub struct Namespace {
    file: OwnedFd,
    id: NamespaceId,
    holder: Option<u32>,
}

impl Namespace {
    /// Proves a descriptor.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn prove(descriptor: Unproven, peer: &Peer, host: &Host) -> Result<Self, Error> {
        let file = genuine(descriptor)?;
        let id = identity(&file).map_err(Error::Unknown)?;
        if id == host.network {
            return Err(Error::HostNamespace);
        }
        let mut holder = None;
        if peer.uid() != 0 {
            let owned = if host.probe {
                probe(file.as_fd(), peer.uid(), id)
            } else {
                owners(file.as_fd(), host.user).map(|owners| {
                    holder = owners.last().copied();
                    owners.contains(&peer.uid())
                })
            };
            if !owned.map_err(Error::Unknown)? {
                return Err(Error::NotYours { uid: peer.uid() });
            }
        }
        Ok(Self { file, id, holder })
    }

    /// Who owns the outermost user namespace around it: the user of the host to whom all uids inside are
    /// subordinate, however they came by them. None: the kernel has no way to ask, or it is root's to ask.
    pub fn holder(&self) -> Option<u32> {
        self.holder
    }

    /// What tells it from others.
    pub fn id(&self) -> NamespaceId {
        self.id
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Step 1. What is no namespace is dropped as it came, on a thread apart.
fn genuine(descriptor: Unproven) -> Result<OwnedFd, Error> {
    let mut socket = Socket::open().map_err(Error::Unknown)?;
    let answer = match descriptor.borrow() {
        Some(fd) => socket.namespace_id(&fd),
        None => return Err(Error::NoDescriptor),
    };
    match answer {
        Ok(_) => descriptor.proven().ok_or(Error::NoDescriptor),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::BADF | Errno::NOENT) => Err(Error::NotANamespace),
            _ => Err(Error::Unknown(error)),
        },
    }
}

/// Step 3 by ioctl_ns(2): the owners from the owning user namespace upwards, without the initial one, which
/// is owned by root, as is what root made directly in it.
fn owners(file: BorrowedFd<'_>, initial: NamespaceId) -> io::Result<Vec<u32>> {
    let mut owners = Vec::new();
    let mut user_namespace = nsfs::owning_user_namespace(file)?;
    for _ in 0..DEEPEST {
        if identity(&user_namespace)? == initial {
            break;
        }
        owners.push(nsfs::owner_uid(&user_namespace)?);
        user_namespace = match nsfs::parent(&user_namespace) {
            Ok(parent) => parent,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => break,
            Err(error) => return Err(error),
        };
    }
    Ok(owners)
}

/// Step 3 without ioctls, as lxc-user-nic had the idea: inside, with nothing but the caller's effective
/// uid, ask for a link to be deleted that does not exist. Who may delete links is told that there is
/// none (ENODEV), who may not is told so (EPERM). `cap_capable` grants the owner of a user namespace
/// every capability in it by effective uid alone.
///
/// Only the effective uid changes, and by the raw system call: with the real one too, the caller could
/// signal our thread; with libc's wrapper, every thread would change.
fn probe(file: BorrowedFd<'_>, uid: u32, id: NamespaceId) -> io::Result<bool> {
    // ifindex is a positive int; the kernel counts upwards from 1.
    const ABSENT: u32 = i32::MAX as u32;
    inside::run(file, || {
        // On 3.10, setns takes any file whose operations fit; be sure that it took us where we think.
        let here =
            File::open(format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_nonzero()))?;
        if identity(&here)? != id {
            return Err(io::Error::other("setns led elsewhere"));
        }
        set_thread_res_uid(None, Uid::from_raw(uid), None)?;
        let answer = Socket::open().and_then(|mut socket| socket.delete_link(ABSENT));
        set_thread_res_uid(None, Uid::ROOT, None)?;
        match answer {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => Ok(true),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("a link that cannot exist was deleted")),
        }
    })
}

//! The caller: SO_PEERCRED, which the kernel fixed when the socket was connected (unix(7)).

use std::{os::fd::AsFd, sync::Arc};

use crate::sys;

/// Who is on the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    uid: u32,
    gid: u32,
    pid: i32,
    groups: Arc<[u32]>,
    admin: bool,
}

impl Peer {
    /// Reads it from a connected socket. Without credentials there is no peer, and so no service.
    ///
    /// # Errors
    /// The kernel knows no credentials.
    pub fn of(socket: impl AsFd, admin_group: Option<u32>) -> std::io::Result<Self> {
        let credentials = sys::peer::credentials(&socket)?;
        let uid = credentials.uid;
        if uid == u32::MAX {
            return Err(std::io::Error::other("the peer has no credentials"));
        }
        // Kernels before 4.13 tell the primary group only, and so do later ones of a process in thousands.
        let mut groups = sys::peer::groups(&socket).unwrap_or_default();
        groups.push(credentials.gid);
        let admin = uid == 0 || admin_group.is_some_and(|group| groups.contains(&group));
        Ok(Self { uid, gid: credentials.gid, pid: credentials.pid, groups: groups.into(), admin })
    }

    /// The user, as the daemon's user namespace numbers it.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its primary group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The process that connected. It may be gone, and another have its number: a hint, never a proof.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The groups that the process had when it connected, as the kernel tells them. It may have dropped some
    /// of its user's: [`super::users`] has the others.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Whether it may see and change everybody's attachments.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// Whether it may see and change what `uid` owns.
    pub fn may_see(&self, uid: u32) -> bool {
        self.admin || self.uid == uid
    }

    /// A peer for unit tests.
    #[cfg(any(test, fuzzing))]
    pub fn made_up(uid: u32) -> Self {
        Self { uid, gid: uid, pid: 1, groups: Arc::new([uid]), admin: uid == 0 }
    }
}

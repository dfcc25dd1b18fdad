//! A number for each living host that no other host on the machine has, whichever process made it.
//!
//! User ids are computed from it, so that tests running at the same time share no per-user kernel limit. It
//! is a lock on a file: the kernel gives it back when the test process ends, however it ends.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};

use crate::paths::cache;

const SLOTS: u32 = 1024;
const USERS_PER_SLOT: u32 = 32;
const FIRST_UID: u32 = 1_000_000;
const FIRST_SUBUID: u32 = 0x1000_0000;

/// How many subordinate ids each user has.
const SUBUIDS: u32 = 65_536;

/// A host's number, held for the host's life.
pub(crate) struct Slot {
    number: u32,
    _lock: File,
}

impl Slot {
    /// Takes the first number that is free.
    pub(crate) fn take() -> Self {
        let folder = cache().join("slots");
        fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}; run integration/prepare", folder.display()));
        (0..SLOTS)
            .find_map(|number| {
                let lock = File::create(folder.join(number.to_string())).ok()?;
                flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
                Some(Self { number, _lock: lock })
            })
            .unwrap_or_else(|| panic!("{}: all {SLOTS} slots are taken", folder.display()))
    }

    /// The uid and the first subordinate id of the host's user number `index`.
    pub(crate) fn ids(&self, index: usize) -> (u32, u32) {
        let index = u32::try_from(index).ok().filter(|index| *index < USERS_PER_SLOT);
        let user = self.number * USERS_PER_SLOT + index.expect("a host has at most 32 users");
        (FIRST_UID + user, FIRST_SUBUID + user * SUBUIDS)
    }
}

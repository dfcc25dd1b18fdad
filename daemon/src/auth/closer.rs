//! Closing descriptors that a stranger sent.
//!
//! `close` on a file of a FUSE file system asks that file system to flush, and waits for its answer
//! (fs/fuse/file.c, `fuse_flush`), which its owner may never give. So what was not proven harmless is
//! closed on a thread made for that one user; while it hangs, that user's further descriptors wait
//! behind it, and nobody else's do. The number of threads is the number of users who do this.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, PoisonError},
    thread,
};

/// Descriptors that wait to be closed, by the user who sent them. A user with an entry has a thread.
static WAITING: Mutex<Option<HashMap<u32, Vec<OwnedFd>>>> = Mutex::new(None);

/// A descriptor that was received and not yet proven to be anything.
#[derive(Debug)]
pub struct Unproven {
    descriptor: Option<OwnedFd>,
    uid: u32,
}

impl Unproven {
    /// Takes charge of a descriptor that this user sent.
    pub fn new(descriptor: OwnedFd, uid: u32) -> Self {
        Self { descriptor: Some(descriptor), uid }
    }

    /// The plain descriptor, once it is known what it is and that closing it is harmless.
    pub fn proven(mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// To ask the kernel about it. Only for questions that the file's own file system has no say in.
    pub fn borrow(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        if let Some(descriptor) = self.descriptor.take() {
            close(descriptor, self.uid);
        }
    }
}

/// How many of a user's descriptors wait to be closed.
pub fn waiting(uid: u32) -> usize {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.as_ref().and_then(|users| users.get(&uid)).map_or(0, Vec::len)
}

fn close(descriptor: OwnedFd, uid: u32) {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let users = waiting.get_or_insert_default();
    if let Some(queue) = users.get_mut(&uid) {
        queue.push(descriptor);
        return;
    }
    users.insert(uid, vec![descriptor]);
    drop(waiting);
    let spawned = thread::Builder::new().name("closer".to_owned()).spawn(move || {
        while let Some(descriptor) = next(uid) {
            drop(descriptor);
        }
    });
    if let Err(error) = spawned {
        // Better a descriptor too many than a caller that hangs.
        tracing::error!(%error, uid, "no thread to close what a caller sent; it stays open");
    }
}

fn next(uid: u32) -> Option<OwnedFd> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let users = waiting.as_mut()?;
    let descriptor = users.get_mut(&uid)?.pop();
    if descriptor.is_none() {
        users.remove(&uid);
    }
    descriptor
}

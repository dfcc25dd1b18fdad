//! Closing descriptors that a stranger sent.
//!
//! `close` on a file of a FUSE file system asks that file system to flush, and waits for its answer
//! (fs/fuse/file.c, `fuse_flush`), which its owner may never give; no signal ends that wait, not even
//! SIGKILL (fs/fuse/dev.c, `request_wait_answer`, for a request that is `force`). So what was not proven
//! harmless is closed on a thread that works for one user at a time; while it hangs, that user's further
//! descriptors wait behind it, and nobody else's do. There are as many threads as users who do this, up to
//! a bound; beyond it they wait for each other, and still for nobody who passes nothing but what is right.
//! The [socket](crate::socket) counts what waits, and lets those in no more who have too much of it.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
};

/// The most threads.
const THREADS: usize = 32;
/// A thread's stack in octets: it does nothing but close.
const STACK: usize = 64 << 10;

/// What waits to be closed.
static CLOSER: LazyLock<Mutex<Closer>> = LazyLock::new(Mutex::default);

/// A descriptor that was received and not yet proven to be anything.
#[derive(Debug)]
pub struct Unproven {
    descriptor: Option<OwnedFd>,
    account: u32,
}

impl Unproven {
    /// Takes charge of a descriptor that was sent on this user's account.
    pub fn new(descriptor: OwnedFd, account: u32) -> Self {
        Self { descriptor: Some(descriptor), account }
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
            close(descriptor, self.account);
        }
    }
}

/// How many descriptors wait to be closed, or hang in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closing {
    /// One user's.
    pub user: usize,
    /// Everybody's.
    pub all: usize,
}

impl Closing {
    /// Those of this user, and everybody's.
    pub fn of(account: u32) -> Self {
        let closer = lock();
        let user = closer.users.get(&account).map_or(0, User::count);
        Self { user, all: closer.users.values().map(User::count).sum() }
    }
}

/// A user has an entry as long as there is something to close.
#[derive(Default)]
struct Closer {
    users: HashMap<u32, User>,
    threads: usize,
}

#[derive(Default)]
struct User {
    waiting: Vec<OwnedFd>,
    /// A thread is at it, and has one more in its hands.
    busy: bool,
}

impl User {
    fn count(&self) -> usize {
        self.waiting.len() + usize::from(self.busy)
    }
}

fn lock() -> MutexGuard<'static, Closer> {
    CLOSER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn close(descriptor: OwnedFd, account: u32) {
    let mut closer = lock();
    let user = closer.users.entry(account).or_default();
    user.waiting.push(descriptor);
    if user.busy || closer.threads >= THREADS {
        return;
    }
    closer.threads += 1;
    drop(closer);
    if let Err(error) = start() {
        lock().threads -= 1;
        // The next one tries again. Better descriptors that stay open than a caller that hangs.
        tracing::error!(%error, uid = account, "no thread to close what a caller sent: raise TasksMax, or ulimit -u");
    }
}

fn start() -> io::Result<()> {
    let work = || {
        while let Some((account, descriptor)) = next() {
            drop(descriptor);
            done(account);
        }
    };
    thread::Builder::new().name("closer".to_owned()).stack_size(STACK).spawn(work).map(drop)
}

/// A descriptor of a user whom no thread works for. None: there is no more to do.
fn next() -> Option<(u32, OwnedFd)> {
    let mut closer = lock();
    let found = closer.users.iter_mut().filter(|(_, user)| !user.busy).find_map(|(account, user)| {
        let descriptor = user.waiting.pop()?;
        user.busy = true;
        Some((*account, descriptor))
    });
    if found.is_none() {
        closer.threads -= 1;
    }
    found
}

fn done(account: u32) {
    let mut closer = lock();
    if let Some(user) = closer.users.get_mut(&account) {
        user.busy = false;
        if user.waiting.is_empty() {
            closer.users.remove(&account);
        }
    }
}

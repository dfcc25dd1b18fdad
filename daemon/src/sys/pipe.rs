//! Waiting for the end of a pipe, and for nothing else.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a pipe's read end so that only its hang-up is reported.
///
/// With PRIORITY, which a pipe never has, epoll_ctl(2) still reports EPOLLHUP, and that alone: whoever
/// writes into the pipe wakes nobody.
///
/// # Errors
/// No memory, or not a descriptor that can be polled.
pub fn register_end(pipe: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the contract wants `as_raw_fd` to give the same open descriptor as long as the AsyncFd
    // lives. It holds the Arc, whose OwnedFd never changes and is closed only when the last Arc goes.
    Ok(unsafe { AsyncFd::register_with_interest(pipe, Interest::PRIORITY) }?)
}

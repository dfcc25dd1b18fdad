//! Work inside another network namespace.
//!
//! # Theory of operation
//! setns(2) changes the calling thread only, so the work runs on a fresh thread that enters, works and
//! ends; a thread of the runtime that entered would take other people's requests with it into a
//! stranger's namespace. While inside, `/proc/sys/net` and new sockets are the namespace's own. Nothing
//! of the namespace is kept: a descriptor or a socket left open would keep it, and our veth, alive.

use std::{io, os::fd::BorrowedFd, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` on a fresh thread inside the namespace.
///
/// # Errors
/// No thread could be made or the namespace not be entered (`setns` needs CAP_SYS_ADMIN over it); else
/// what `work` gives.
pub fn run<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("inside".to_owned())
            .spawn_scoped(scope, || {
                // Always with the type: with 0 a pidfd or another kind of namespace would pass.
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
                work()
            })?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
    })
}

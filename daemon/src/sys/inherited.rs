//! What the process was started with: its environment, and the descriptors that were left open for it.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::Errno;

/// The first descriptor that is passed: `SD_LISTEN_FDS_START` of sd_listen_fds(3).
const FIRST: RawFd = 3;

/// Takes these variables out of the environment, so that nothing the process does later depends on them, and
/// nothing it executes has them. To be called first, while there is one thread; where there are more, nothing
/// is found and nothing is taken.
pub fn take_variables<const N: usize>(names: [&str; N]) -> [Option<OsString>; N] {
    if !is_alone() {
        return names.map(|_| None);
    }
    names.map(|name| {
        let value = env::var_os(name);
        // SAFETY: the contract of `remove_var` is that no other thread reads or writes the environment
        // meanwhile. `is_alone` has just seen that there is none, and this one starts none in between.
        unsafe { env::remove_var(name) };
        value
    })
}

/// Whether this is the process' only thread.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Takes the `count` descriptors that whoever started the process left open from 3 on (sd_listen_fds(3)); they are
/// closed on exec from here on. To be called before the process opens anything itself.
///
/// # Errors
/// `EBADF`: there are fewer; then those there are have been closed. `EALREADY`: they were taken before.
pub fn take_descriptors(count: u16) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Errno::ALREADY.into());
    }
    (FIRST..FIRST + RawFd::from(count)).map(own).collect()
}

fn own(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with these commands reads no memory; on a number that is not open it says EBADF.
    let done = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as fcntl has just confirmed, and nobody else owns it: it was passed at the start,
    // before this process opened anything, the numbers differ, and `take_descriptors` goes on only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

//! Waiting for what takes a moment, without guessing how long.

use std::{
    fmt::Display,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// What must happen may take so long. It is waited for by [`eventually`] and the like, which go on as soon as it has
/// happened: a long limit costs time only where a test fails, a short one fails on a busy machine. How fast the
/// product is, is measured where that is the test's question, against what it takes at rest.
pub const LATER: Duration = Duration::from_secs(30);

/// For so long a test watches that something does not happen.
pub const SOON: Duration = Duration::from_secs(2);

/// Calls `attempt` until it succeeds and returns its value; panics with its last error after `limit`.
#[track_caller]
pub fn eventually<T, E: Display>(limit: Duration, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let error = match attempt() {
            Ok(value) => return value,
            Err(error) => error,
        };
        assert!(start.elapsed() < limit, "not so within {limit:?}; the last attempt said: {error}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Waits for a child to end; `None` when it is still running after `limit`.
pub(crate) fn exit_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let status = |child: &mut Child| child.try_wait().expect("a child can be waited for");
    if let Some(status) = status(child) {
        return Some(status);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd_open (Linux 5.3 or later)");
    let limit = Timespec::try_from(limit).expect("a limit in range");
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).expect("poll");
    status(child)
}

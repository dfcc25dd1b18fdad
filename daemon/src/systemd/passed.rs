//! What systemd passes at the start: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    time::Duration,
};

use rustix::{
    fs::{FileType, OFlags},
    net::sockopt::socket_acceptconn,
};

use super::{Notifier, journal};
use crate::sys::inherited;

/// All that systemd sets for a service and that concerns us or nobody. `LISTEN_PIDFDID` is of version 258.
const VARIABLES: [&str; 9] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "JOURNAL_STREAM",
    "STATE_DIRECTORY",
];

/// What was passed, in order.
#[derive(Debug, Default)]
pub struct Passed {
    /// The listening sockets.
    pub listeners: Vec<UnixListener>,
    /// The leases that were kept for us: read ends of pipes.
    pub leases: Vec<OwnedFd>,
    /// Where systemd listens to us.
    notify: Option<OsString>,
    /// How long it may hear nothing of us before it ends us.
    pub watchdog: Option<Duration>,
    /// Whether standard error is the journal's.
    pub journal: bool,
    /// Whether systemd forgets a lease when it is told to, from version 236 on. Which version it is it does not
    /// say; but `STATE_DIRECTORY`, for the unit's `StateDirectory=`, is of version 240.
    pub forgets: bool,
    /// What was passed and is none of all that.
    pub strange: usize,
}

impl Passed {
    /// Takes it all, and the variables out of the environment. To be called before anything else.
    ///
    /// # Errors
    /// Fewer descriptors are open than `LISTEN_FDS` says.
    pub fn take() -> io::Result<Self> {
        let [fds, pid, _, _, notify, usec, watchdog_pid, stream, state] =
            inherited::take_variables(VARIABLES);
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let descriptors = inherited::take_descriptors(count(fds.as_deref(), pid.as_deref(), own))?;
        let watchdog = watchdog(usec.as_deref(), watchdog_pid.as_deref(), own);
        let journal = journal::is_stderr(stream.as_deref());
        let forgets = state.is_some();
        let mut passed = Self { notify, watchdog, journal, forgets, ..Self::default() };
        passed.sort(descriptors);
        Ok(passed)
    }

    /// What tells systemd.
    ///
    /// # Errors
    /// The address is none, or no socket can be made.
    pub fn notifier(&self) -> io::Result<Notifier> {
        self.notify
            .as_deref()
            .filter(|address| !address.is_empty())
            .map_or(Ok(Notifier::silent()), Notifier::start)
    }

    fn sort(&mut self, descriptors: Vec<OwnedFd>) {
        for descriptor in descriptors {
            if socket_acceptconn(&descriptor) == Ok(true) {
                self.listeners.push(descriptor.into());
            } else if is_read_end(&descriptor) {
                self.leases.push(descriptor);
            } else {
                self.strange += 1;
            }
        }
    }
}

/// Nobody but systemd and ourselves has had it in hand, so its file system can be asked.
fn is_read_end(descriptor: &OwnedFd) -> bool {
    let is_fifo = rustix::fs::fstat(descriptor)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    is_fifo && rustix::fs::fcntl_getfl(descriptor).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY)
}

/// How many descriptors are for us. Whom they are not for is told by LISTEN_PID: who was started by whom they were
/// for inherited the variables too.
fn count(fds: Option<&OsStr>, pid: Option<&OsStr>, own: i32) -> u16 {
    if number::<i32>(pid) != Some(own) {
        return 0;
    }
    number(fds).unwrap_or_default()
}

/// WATCHDOG_PID may be absent: then it is for whoever has the variable.
fn watchdog(usec: Option<&OsStr>, pid: Option<&OsStr>, own: i32) -> Option<Duration> {
    if pid.is_some() && number::<i32>(pid) != Some(own) {
        return None;
    }
    number(usec).filter(|usec| *usec > 0).map(Duration::from_micros)
}

fn number<T: std::str::FromStr>(text: Option<&OsStr>) -> Option<T> {
    text?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_another_process_is_not_taken() {
        let os = |text: &'static str| Some(OsStr::new(text));
        assert_eq!(count(os("2"), os("17"), 17), 2);
        for (fds, pid) in [(os("2"), os("18")), (os("2"), None), (None, os("17")), (os("-1"), os("17"))] {
            assert_eq!(count(fds, pid, 17), 0, "{fds:?} {pid:?}");
        }
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog(os("1000000"), os("17"), 17), second);
        assert_eq!(watchdog(os("1000000"), None, 17), second);
        for (usec, pid) in [(os("1000000"), os("18")), (os("0"), None), (None, None), (os("x"), os("17"))] {
            assert_eq!(watchdog(usec, pid, 17), None, "{usec:?} {pid:?}");
        }
    }

    #[test]
    fn descriptors_are_known_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let connected = std::os::unix::net::UnixStream::connect(folder.path().join("socket")).unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut passed = Passed::default();
        passed.sort(vec![read, file.into(), listener.into(), write, connected.into()]);
        assert_eq!((passed.leases.len(), passed.listeners.len(), passed.strange), (1, 1, 3));
    }
}

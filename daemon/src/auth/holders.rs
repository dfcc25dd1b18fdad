//! Who holds which pipe: where leases are found again after a restart.
//!
//! Links of descriptors cost some microseconds each, and users have as many as they like: processes that share
//! one table (clone(2), `CLONE_FILES`) each list all of it. The daemon is not ready before it has looked, so the
//! search is bounded, and what is not found by then is not known.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::model::LeaseId;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Links of a process that made a lease. It became slirp4netns, which has a dozen.
    hinted: usize,
    /// Links of all processes, and processes, together.
    everywhere: usize,
    /// How long all processes are looked at.
    time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { hinted: 1024, everywhere: 100_000, time: Duration::from_secs(2) }
    }
}

/// Where a pipe is held.
pub enum Place {
    /// By the descriptor with this link.
    At(PathBuf),
    /// Nobody has it open.
    Nowhere,
    /// The kernel would not say, or there was too much to look at.
    Unknown,
}

/// Those leases that were kept for us, and who holds which pipe, of all processes. The latter is looked up
/// once, and only if a lease is not where it was.
#[derive(Default)]
pub struct Holders {
    kept: HashMap<u64, Arc<OwnedFd>>,
    limits: Limits,
    /// By the number of the process.
    hinted: RefCell<HashMap<i32, Result<Pipes, io::ErrorKind>>>,
    everywhere: OnceCell<Pipes>,
}

impl Holders {
    /// With read ends that systemd kept. They were proven when it got them; whose they are the inode says.
    pub fn with_kept(kept: Vec<OwnedFd>) -> Self {
        let by_inode = |pipe: OwnedFd| Some((rustix::fs::fstat(&pipe).ok()?.st_ino, Arc::new(pipe)));
        Self { kept: kept.into_iter().filter_map(by_inode).collect(), ..Self::default() }
    }

    /// The read end that was kept of the pipe with this inode.
    pub fn kept(&self, pipe: u64) -> Option<Arc<OwnedFd>> {
        self.kept.get(&pipe).cloned()
    }

    /// Looks where it was first, then everywhere.
    pub fn place(&self, id: LeaseId) -> Place {
        let mut hinted = self.hinted.borrow_mut();
        match hinted.entry(id.pid).or_insert_with(|| self.of_process(id.pid)) {
            Ok(pipes) if pipes.places.contains_key(&id.pipe) => return pipes.place(id.pipe),
            Err(io::ErrorKind::PermissionDenied) => return Place::Unknown,
            _ => {}
        }
        self.everywhere.get_or_init(|| self.of_all()).place(id.pipe)
    }

    fn of_process(&self, pid: i32) -> Result<Pipes, io::ErrorKind> {
        let mut pipes = Pipes::new(self.limits.hinted, None);
        pipes.add(&Path::new("/proc").join(pid.to_string())).map_err(|error| error.kind())?;
        Ok(pipes)
    }

    fn of_all(&self) -> Pipes {
        let mut pipes = Pipes::new(self.limits.everywhere, Some(Instant::now() + self.limits.time));
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter(|entry| entry.file_name().as_bytes().iter().all(u8::is_ascii_digit));
        for process in processes {
            if !pipes.may_go_on() {
                tracing::warn!(
                    "too many descriptors are open on this host to look for leases in all of them"
                );
                break;
            }
            // It may have ended meanwhile.
            let _ = pipes.add(&process.path());
        }
        pipes
    }
}

/// The pipes without a name that were found: the inode, and where.
struct Pipes {
    places: HashMap<u64, PathBuf>,
    /// How many more may be looked at, and how long.
    left: usize,
    until: Option<Instant>,
    /// Whether that was enough.
    complete: bool,
}

impl Pipes {
    fn new(left: usize, until: Option<Instant>) -> Self {
        Self { places: HashMap::new(), left, until, complete: true }
    }

    fn may_go_on(&mut self) -> bool {
        let in_time = self.until.is_none_or(|until| Instant::now() < until);
        self.complete = self.complete && in_time && self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.complete
    }

    /// Adds those that a process has open.
    fn add(&mut self, process: &Path) -> io::Result<()> {
        for entry in fs::read_dir(process.join("fd"))?.flatten() {
            if !self.may_go_on() {
                break;
            }
            if let Some(pipe) = pipe_named(&entry.path()) {
                self.places.insert(pipe, entry.path());
            }
        }
        Ok(())
    }

    fn place(&self, pipe: u64) -> Place {
        match self.places.get(&pipe) {
            Some(place) => Place::At(place.clone()),
            None if self.complete => Place::Nowhere,
            None => Place::Unknown,
        }
    }
}

/// The inode in the link of a pipe without a name.
pub(super) fn pipe_named(link: &Path) -> Option<u64> {
    let link = fs::read_link(link).ok()?;
    link.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has this number (PID_MAX_LIMIT of linux/threads.h is less).
    const NOBODY: i32 = i32::MAX;

    fn limited(hinted: usize, everywhere: usize, time: Duration) -> Holders {
        Holders { limits: Limits { hinted, everywhere, time }, ..Holders::default() }
    }

    fn own_pid() -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    #[test]
    fn what_is_not_found_in_time_may_be_anywhere() {
        let nowhere = LeaseId { pid: NOBODY, pipe: u64::MAX };
        let long = Duration::from_secs(600);
        assert!(matches!(limited(1, usize::MAX, long).place(nowhere), Place::Nowhere));
        assert!(matches!(limited(1, 3, long).place(nowhere), Place::Unknown));
        assert!(matches!(limited(1, usize::MAX, Duration::ZERO).place(nowhere), Place::Unknown));
    }

    #[test]
    fn a_process_with_many_descriptors_is_no_hint() {
        let many: Vec<_> = (0..50).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let holders = limited(10, 0, Duration::from_secs(600));
        assert!(holders.of_process(own_pid()).is_ok_and(|pipes| pipes.places.len() <= 10 && !pipes.complete));
        let last = rustix::fs::fstat(&many[49].0).unwrap().st_ino;
        assert!(matches!(holders.place(LeaseId { pid: own_pid(), pipe: last }), Place::Unknown));
        // The control: it is there.
        let holders = limited(10_000, 0, Duration::ZERO);
        assert!(matches!(holders.place(LeaseId { pid: own_pid(), pipe: last }), Place::At(_)));
    }

    #[test]
    fn a_process_is_looked_at_once_whatever_is_looked_for() {
        let holders = Holders::default();
        let absent = LeaseId { pid: own_pid(), pipe: u64::MAX };
        assert!(!matches!(holders.place(absent), Place::At(_)));
        // Made since: who looks again finds it.
        let (_read, write) = rustix::pipe::pipe().unwrap();
        let pipe = rustix::fs::fstat(&write).unwrap().st_ino;
        assert!(!matches!(holders.place(LeaseId { pipe, ..absent }), Place::At(_)));
        assert!(matches!(Holders::default().place(LeaseId { pipe, ..absent }), Place::At(_)));
    }
}

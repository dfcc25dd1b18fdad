//! The lease: the read end of a pipe whose write end the client leaves open in what it becomes.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
};

use super::{
    Error, Holders, Peer, Unproven,
    holders::{Place, pipe_named},
};
use crate::model::LeaseId;

/// A proven lease.
#[derive(Debug)]
pub struct Lease {
    pipe: Arc<OwnedFd>,
    id: LeaseId,
}

impl Lease {
    /// Proves that a descriptor is the read end of a pipe without a name, and nothing else.
    ///
    /// `F_GETPIPE_SZ` compares the file's operations (`get_pipe_info`, fs/pipe.c) and so asks no file
    /// system. It says yes to a FIFO too, whose attributes its file system answers for, or never does;
    /// [`inode`] asks nobody, and knows only pipes without a name. An end that is open for writing too
    /// would never see the end of the other.
    ///
    /// # Errors
    /// [`Error::NotALease`].
    pub fn prove(descriptor: Unproven, peer: &Peer) -> Result<Self, Error> {
        let inode = descriptor.borrow().filter(|fd| is_read_end(*fd)).and_then(inode);
        let pipe = inode.ok_or(Error::NotALease)?;
        let descriptor = descriptor.proven().ok_or(Error::NotALease)?;
        Ok(Self { pipe: Arc::new(descriptor), id: LeaseId { pid: peer.pid(), pipe } })
    }

    /// Finds a lease again after a restart: among those that were kept, or where it is held. A process that
    /// holds its write end has a descriptor whose link reads `pipe:[INODE]`, and opening that link for reading
    /// gives the read end of that very pipe (proc_pid_fd(5)). The number of the process that made it is only
    /// where to look first; it may have left the pipe to a child. The inode is what proves it, of what was
    /// opened: meanwhile that process may have put something else in its place, which must not be opened as a
    /// file. So first only the place is (`O_PATH`).
    pub fn find(id: LeaseId, holders: &Holders) -> Found {
        match holders.kept(id.pipe) {
            Some(pipe) if hung_up(pipe.as_fd()) => return Found::Ended,
            Some(pipe) => return Found::Lease(Self { pipe, id }),
            None => {}
        }
        let place = match holders.place(id) {
            Place::At(place) => place,
            Place::Nowhere => return Found::Ended,
            Place::Unknown => return Found::Unknown,
        };
        match reopen(&place, id.pipe) {
            // What holds it still is another read end.
            Some(pipe) if hung_up(pipe.as_fd()) => Found::Ended,
            Some(pipe) => Found::Lease(Self { pipe: Arc::new(pipe), id }),
            None => Found::Unknown,
        }
    }

    /// What finds it again.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// The pipe, to wait for its end.
    pub fn pipe(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.pipe)
    }

    /// Whether every write end is closed.
    pub fn has_ended(&self) -> bool {
        hung_up(self.pipe.as_fd())
    }
}

/// What became of a lease while the daemon was away.
pub enum Found {
    /// It is still held.
    Lease(Lease),
    /// Nobody holds it any more.
    Ended,
    /// The kernel would not say, or not soon enough; the namespace's end will have to do.
    Unknown,
}

fn is_read_end(fd: BorrowedFd<'_>) -> bool {
    rustix::pipe::fcntl_getpipe_size(fd).is_ok()
        && rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY)
}

/// The inode of a pipe without a name: the kernel puts the link's text together itself (`pipefs_dname`,
/// fs/pipe.c). The link of anything that has a name begins with a slash.
fn inode(fd: BorrowedFd<'_>) -> Option<u64> {
    pipe_named(Path::new(&own_link(fd)))
}

fn own_link(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens the read end of the pipe with this inode, if that is what is there.
fn reopen(path: &Path, pipe: u64) -> Option<OwnedFd> {
    let open = |path: &Path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).ok();
    let place = open(path, OFlags::PATH)?;
    if inode(place.as_fd()) != Some(pipe) {
        return None;
    }
    open(Path::new(&own_link(place.as_fd())), OFlags::RDONLY | OFlags::NONBLOCK)
}

fn hung_up(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::empty())];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prove(descriptor: OwnedFd) -> Result<Lease, Error> {
        Lease::prove(Unproven::new(descriptor, 0), &Peer::made_up(0))
    }

    #[test]
    fn only_the_read_end_of_a_pipe_will_do() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let lease = prove(read).unwrap();
        assert!(!lease.has_ended());
        assert!(matches!(prove(write.try_clone().unwrap()), Err(Error::NotALease)));
        drop(write);
        // The copy that was refused is closed on a thread apart.
        while super::super::Closing::of(0).user > 0 || !lease.has_ended() {
            std::thread::yield_now();
        }
        assert!(matches!(prove(std::fs::File::open("/dev/null").unwrap().into()), Err(Error::NotALease)));
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(matches!(prove(socket.into()), Err(Error::NotALease)));
    }

    #[test]
    fn a_lease_is_found_again_by_its_inode() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let id =
            LeaseId { pid: rustix::process::getpid().as_raw_nonzero().get(), ..prove(read).unwrap().id() };
        let Found::Lease(again) = Lease::find(id, &Holders::default()) else { panic!("not found") };
        assert!(!again.has_ended());
        drop(write);
        assert!(again.has_ended());
        drop(again);
        assert!(matches!(Lease::find(id, &Holders::default()), Found::Ended));
    }

    #[test]
    fn a_lease_that_was_kept_is_found_without_its_holder() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let kept = read.try_clone().unwrap();
        // No process has this number (PID_MAX_LIMIT of linux/threads.h is less).
        let id = LeaseId { pid: i32::MAX, ..prove(read).unwrap().id() };
        let holders = Holders::with_kept(vec![kept]);
        let Found::Lease(again) = Lease::find(id, &holders) else { panic!("not found") };
        assert!(!again.has_ended());
        let other = LeaseId { pipe: id.pipe + 1_000_000_000, ..id };
        assert!(matches!(Lease::find(other, &holders), Found::Ended));
        drop(write);
        assert!(matches!(Lease::find(id, &holders), Found::Ended));
    }
}

//! The lease: the read end of a pipe whose write end the client leaves open in what it becomes.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
};

use super::{Error, Peer, Unproven};
use crate::model::LeaseId;

/// A proven lease.
#[derive(Debug)]
pub struct Lease {
    pipe: Arc<OwnedFd>,
    id: LeaseId,
}

impl Lease {
    /// Proves that a descriptor is the read end of a pipe, and nothing else.
    ///
    /// `F_GETPIPE_SZ` compares the file's operations (`get_pipe_info`, fs/pipe.c) and so asks no file
    /// system. An end that is open for writing too would never see the end of the other.
    ///
    /// # Errors
    /// [`Error::NotALease`].
    pub fn prove(descriptor: Unproven, peer: &Peer) -> Result<Self, Error> {
        let pipe = descriptor.borrow().is_some_and(|fd| {
            rustix::pipe::fcntl_getpipe_size(fd).is_ok()
                && rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY)
        });
        let descriptor = if pipe { descriptor.proven() } else { None };
        Self::from_pipe(descriptor.ok_or(Error::NotALease)?, peer.pid())
    }

    fn from_pipe(pipe: OwnedFd, pid: i32) -> Result<Self, Error> {
        let inode = rustix::fs::fstat(&pipe).map_err(|errno| Error::Unknown(errno.into()))?.st_ino;
        Ok(Self { pipe: Arc::new(pipe), id: LeaseId { pid, pipe: inode } })
    }

    /// Finds a lease again after a restart: the process that held its write end, if it still does, has
    /// a descriptor whose link reads `pipe:[INODE]`, and opening that link for reading gives the read
    /// end of that very pipe (proc_pid_fd(5)). The number of the process is only where to look; the
    /// inode is what proves it.
    pub fn find(id: LeaseId) -> Found {
        let folder = format!("/proc/{}/fd", id.pid);
        let wanted = format!("pipe:[{}]", id.pipe);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Found::Unknown,
            Err(_) => return Found::Ended,
        };
        for entry in entries.flatten() {
            if std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                return match rustix::fs::open(entry.path(), flags, rustix::fs::Mode::empty()) {
                    Ok(pipe) => Self::from_pipe(pipe, id.pid)
                        .ok()
                        .filter(|lease| lease.id == id)
                        .map_or(Found::Unknown, Found::Lease),
                    Err(_) => Found::Unknown,
                };
            }
        }
        Found::Ended
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
    /// The kernel would not say; the namespace's end will have to do.
    Unknown,
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
        while super::super::closing(0) > 0 || !lease.has_ended() {
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
        let Found::Lease(again) = Lease::find(id) else { panic!("not found") };
        assert!(!again.has_ended());
        drop(write);
        assert!(again.has_ended());
        drop(again);
        assert!(matches!(Lease::find(id), Found::Ended));
    }
}

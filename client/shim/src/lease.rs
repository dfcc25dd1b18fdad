//! The lease: a pipe whose write end outlives this program.
//!
//! The daemon gets the read end; the write end stays open across `exec`, so the end of whatever is
//! executed is the end of the attachment. Nobody ever writes to it. Until the exec the lease works too:
//! dropping a [`Lease`], or dying, gives the attachment up.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::{
    io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    pipe::{PipeFlags, pipe_with},
};

/// The lowest number of the write end: clear of what people pass by hand (`3<file`, `-e 3 -r 4`).
const LOWEST: RawFd = 10;

/// Both ends of a lease pipe.
#[derive(Debug)]
pub struct Lease {
    /// For the daemon; not inherited over `exec`.
    pub read: OwnedFd,
    /// To be kept; inherited over `exec`.
    pub write: OwnedFd,
}

impl Lease {
    /// Makes a pipe whose write end is 10 or above and none of `named`: the numbers the program to be
    /// executed was told about. One of those that is not open would otherwise become the lease.
    pub fn new(named: &[RawFd]) -> Result<Self, Errno> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut lowest = LOWEST;
        loop {
            let kept = fcntl_dupfd_cloexec(&write, lowest)?;
            if !named.contains(&kept.as_raw_fd()) {
                fcntl_setfd(&kept, FdFlags::empty())?;
                return Ok(Self { read, write: kept });
            }
            lowest = kept.as_raw_fd() + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::fd::AsFd as _};

    use rustix::io::fcntl_getfd;

    use super::*;

    #[test]
    fn only_the_write_end_is_inherited() {
        let lease = Lease::new(&[]).unwrap();
        assert!(lease.write.as_raw_fd() >= LOWEST);
        assert_eq!(fcntl_getfd(lease.write.as_fd()).unwrap(), FdFlags::empty());
        assert_eq!(fcntl_getfd(lease.read.as_fd()).unwrap(), FdFlags::CLOEXEC);
    }

    #[test]
    fn named_numbers_are_left_free() {
        let named: Vec<RawFd> = (LOWEST..200).collect();
        let lease = Lease::new(&named).unwrap();
        assert!(lease.write.as_raw_fd() >= 200);
    }

    #[test]
    fn the_write_end_is_the_only_one() {
        let Lease { read, write } = Lease::new(&[]).unwrap();
        drop(write);
        let mut rest = Vec::new();
        std::fs::File::from(read).read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
}

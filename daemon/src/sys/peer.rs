//! The other end of a unix socket: SO_PEERCRED, and SO_PEERGROUPS (Linux 4.13), which no safe crate
//! offers. (rustix has the former, but fails for a peer in a PID namespace that we cannot see, whose pid
//! the kernel gives as 0.)

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

/// `SO_PEERGROUPS` of asm-generic/socket.h.
const SO_PEERGROUPS: i32 = 59;
/// Groups that are looked at; NGROUPS_MAX is 65536, but nobody's membership is decided that far down. The
/// first number is enough for nearly everybody.
const FEW: usize = 64;
const MOST: usize = 4096;

/// The process, user and group that the peer had when it connected or, for a listening socket's, when it
/// began to listen. The pid is 0 if the process is in a PID namespace that we cannot see.
///
/// # Errors
/// `ENOTCONN`, and whatever else getsockopt(2) says.
pub fn credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut octets = libc::socklen_t::try_from(size_of_val(&found)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `octets` into `found`, of which every bit pattern is valid, and
    // both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut octets,
        )
    };
    if result == 0 { Ok(found) } else { Err(io::Error::last_os_error()) }
}

/// The supplementary groups that the peer had when it connected.
///
/// # Errors
/// `ENOPROTOOPT` on kernels before 4.13; `ERANGE` for a peer with more than 4096 groups.
pub fn groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    match up_to(FEW, &socket) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => up_to(MOST, &socket),
        outcome => outcome,
    }
}

fn up_to(most: usize, socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut list = vec![0u32; most];
    let mut octets = u32::try_from(size_of_val(list.as_slice())).map_err(io::Error::other)?;
    // SAFETY: the buffer is `octets` long and writable, the kernel writes at most that many and says
    // in `octets` how many it wrote (net/core/sock.c, sk_getsockopt); both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERGROUPS,
            list.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    list.truncate(octets as usize / size_of::<u32>());
    Ok(list)
}

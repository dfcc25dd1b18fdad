//! `v6pod-connect`, setuid root: opens the daemon's socket, which only root may, for whoever starts it.
//!
//! The daemon still sees who that is, for SO_PEERCRED is the effective user; what opens the path is the file
//! system user. So root's rights serve one `connect` to one compiled-in path, and are gone before the caller
//! is given anything. Descriptor 0 is the caller's end of a socket pair, on which the connection is passed.
//!
//! The caller decides the arguments (there are none), the environment (it is not read), the descriptors, the
//! limits and the moment of every signal. A limit makes a call fail; a signal ends it or delays it, but each
//! step leaves it fewer rights, no step waits, and nothing has to be tidied up. Before `main` the C library
//! has ignored LD_* and opened 0, 1 and 2. Nothing is printed, for what a caller's descriptor leads to may
//! obey root: the exit status says it all, and v6pod-shim has the words (`connector.rs`).

#![cfg_attr(panic = "abort", no_std)] // As it is shipped. Profiles that unwind cannot do without std.
#![no_main]
// The system calls are the program. What is cast are sizes of a few octets.
#![allow(unsafe_code, clippy::cast_possible_truncation)]

use core::mem::{size_of_val, zeroed};

use libc::{c_char, c_int, c_uint, gid_t, sa_family_t, socklen_t, uid_t};

const SOCKET: &[u8] = b"/run/v6pod/v6pod.sock";
const CHANNEL: c_int = 0;

const USAGE: c_int = 2;
const NO_CHANNEL: c_int = 3;
const NOT_SETUID: c_int = 4;
const NO_SOCKET: c_int = 5;
const AWAY: c_int = 6;
const BUSY: c_int = 7;
const REFUSED: c_int = 8;
const NOT_DROPPED: c_int = 9;
const NOT_ROOTS: c_int = 10;
const NOT_PASSED: c_int = 11;

// SAFETY: the program's only `main`, of the type the C library calls, less what is not looked at.
#[unsafe(no_mangle)]
extern "C" fn main(arguments: c_int) -> c_int {
    // Not even argv[0] is certain to be there.
    if arguments > 1 { USAGE } else { run().err().unwrap_or(0) }
}

fn run() -> Result<(), c_int> {
    // SAFETY: both return numbers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    // SAFETY: both take numbers. From here on all but the saved user is the caller.
    check(unsafe { libc::setresgid(gid, gid, gid) | libc::setresuid(uid, uid, 0) } == 0, NOT_SETUID)?;
    clean();
    let channel = (option(CHANNEL, libc::SO_DOMAIN, 0), option(CHANNEL, libc::SO_TYPE, 0), maker(CHANNEL));
    // One that the caller made, not a connection to somebody else's server.
    check(channel == (Some(libc::AF_UNIX), Some(libc::SOCK_STREAM), Some(uid)), NO_CHANNEL)?;
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: it takes numbers.
    let socket = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    check(socket >= 0, NO_SOCKET)?;
    // SAFETY: it takes a number. From here on paths are looked up as root.
    unsafe { libc::setfsuid(0) };
    let connected = connect(socket);
    check(is_dropped(uid, gid), NOT_DROPPED)?;
    connected?;
    check(maker(socket) == Some(0), NOT_ROOTS)?;
    check(is_passed(socket), NOT_PASSED)
}

fn check(holds: bool, failure: c_int) -> Result<(), c_int> {
    if holds { Ok(()) } else { Err(failure) }
}

/// Puts away what was inherited. Nothing here is vital: none of it is used, and nothing is executed or made.
fn clean() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: nobody holds on to the environment or to a descriptor above 2, and `none` outlives its call.
    unsafe {
        libc::clearenv();
        libc::umask(0o077);
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        // Of Linux 5.9.
        if libc::syscall(libc::SYS_close_range, 3, c_uint::MAX, 0) != 0 {
            (3..libc::getdtablesize().min(1 << 16)).for_each(|number| _ = libc::close(number));
        }
    }
}

/// Gives root up for good, and looks whether that is so.
fn is_dropped(uid: uid_t, gid: gid_t) -> bool {
    let ([mut r, mut e, mut s], [mut rg, mut eg, mut sg]) = ([0; 3], [0; 3]);
    // SAFETY: they take numbers, or pointers to numbers that outlive the calls.
    unsafe {
        libc::setfsuid(uid);
        libc::setresuid(uid, uid, uid) == 0
            // A change of user makes this what fs.suid_dumpable says.
            && libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
            && libc::getresuid(&raw mut r, &raw mut e, &raw mut s) == 0
            && libc::getresgid(&raw mut rg, &raw mut eg, &raw mut sg) == 0
            && ([r, e, s], [rg, eg, sg]) == ([uid; 3], [gid; 3])
            && libc::setfsuid(uid_t::MAX).cast_unsigned() == uid
            && (uid == 0 || libc::setuid(0) != 0)
    }
}

/// Who made the other end of a socket.
fn maker(socket: c_int) -> Option<uid_t> {
    let nobody = libc::ucred { pid: 0, uid: uid_t::MAX, gid: gid_t::MAX };
    option(socket, libc::SO_PEERCRED, nobody).map(|found| found.uid)
}

/// An option of a socket: a `c_int` or a `ucred`, of which every bit pattern is valid.
fn option<T>(socket: c_int, name: c_int, mut value: T) -> Option<T> {
    let (at, mut octets) = (&raw mut value, size_of_val(&value) as socklen_t);
    // SAFETY: the kernel writes at most `octets` to `value`; both outlive the call.
    let result = unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, name, at.cast(), &raw mut octets) };
    (result == 0).then_some(value)
}

fn connect(socket: c_int) -> Result<(), c_int> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as sa_family_t, sun_path: [0; 108] };
    address.sun_path.iter_mut().zip(SOCKET).for_each(|(to, from)| *to = *from as c_char);
    let octets = size_of_val(&address) as socklen_t;
    // SAFETY: an address of that length, whose path ends with a NUL; and this thread's errno.
    match unsafe { (libc::connect(socket, (&raw const address).cast(), octets), *libc::__errno_location()) } {
        (0, _) => Ok(()),
        (_, libc::ENOENT | libc::ECONNREFUSED) => Err(AWAY),
        (_, libc::EAGAIN) => Err(BUSY),
        _ => Err(REFUSED),
    }
}

/// Whether a descriptor has gone to the caller, with one octet, for a stream takes none without.
fn is_passed(descriptor: c_int) -> bool {
    #[repr(C, align(8))]
    struct Control(libc::cmsghdr, c_int);
    // SAFETY: it computes.
    let cmsg_len = unsafe { libc::CMSG_LEN(size_of::<c_int>() as c_uint) } as usize;
    let header = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    let (mut control, mut octet) = (Control(header, descriptor), 0u8);
    let mut data = libc::iovec { iov_base: (&raw mut octet).cast(), iov_len: 1 };
    // SAFETY: zeroes are a message of nothing.
    let mut message: libc::msghdr = unsafe { zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut data, 1);
    (message.msg_control, message.msg_controllen) = ((&raw mut control).cast(), size_of::<Control>());
    // SAFETY: all that `message` points to has the length it says and outlives the call.
    unsafe { libc::sendmsg(CHANNEL, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) == 1 }
}

#[cfg(panic = "abort")]
#[link(name = "c")]
unsafe extern "C" {}

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it may be called at any time.
    unsafe { libc::abort() }
}

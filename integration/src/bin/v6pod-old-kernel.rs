//! Runs a program as if on Linux 3.10, as far as system calls go: CentOS 7's kernel, on any machine.
//!
//! ```text
//! v6pod-old-kernel PROGRAM [ARGUMENT]...
//! ```
//!
//! System calls that came after 3.10 answer ENOSYS, the ioctls of namespaces (4.9 and later, ioctl_ns(2)) ENOTTY,
//! the socket options SO_PEERGROUPS (4.13) and SO_PEERPIDFD (6.5) ENOPROTOOPT. Children inherit all of it.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare,
    SeccompCondition as Condition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

// Numbers of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl).
const IOCTL: i64 = 16;
const GETSOCKOPT: i64 = 55;
/// `finit_module`, of 3.8, is the last one that 3.10 has.
const NEWER: std::ops::Range<i64> = 314..600;

/// `_IO(0xb7, …)`: include/uapi/linux/nsfs.h.
const NSFS: u64 = 0xb700;
const SOL_SOCKET: u64 = 1;
const SO_PEERGROUPS: u64 = 59;
const SO_PEERPIDFD: u64 = 77;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: v6pod-old-kernel PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    if let Err(error) = become_old() {
        eprintln!("v6pod-old-kernel: {error}");
        return ExitCode::from(125);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("v6pod-old-kernel: {}: {error}", program.display());
    ExitCode::from(127)
}

fn become_old() -> Result<(), Box<dyn Error>> {
    let socket_option = |option| -> Result<SeccompRule, seccompiler::BackendError> {
        let level = Condition::new(1, Length::Dword, Compare::Eq, SOL_SOCKET)?;
        SeccompRule::new(vec![level, Condition::new(2, Length::Dword, Compare::Eq, option)?])
    };
    let of_namespaces = Condition::new(1, Length::Dword, Compare::MaskedEq(!0xff), NSFS)?;
    let options = vec![socket_option(SO_PEERGROUPS)?, socket_option(SO_PEERPIDFD)?];
    refuse([(IOCTL, vec![SeccompRule::new(vec![of_namespaces])?])].into(), Errno::NOTTY)?;
    refuse([(GETSOCKOPT, options)].into(), Errno::NOPROTOOPT)?;
    // Last: seccomp(2), of 3.17, is one of them.
    refuse(NEWER.map(|number| (number, Vec::new())).collect(), Errno::NOSYS)
}

/// Makes these system calls fail from now on.
fn refuse(rules: Rules, errno: Errno) -> Result<(), Box<dyn Error>> {
    let action = SeccompAction::Errno(errno.raw_os_error().unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}

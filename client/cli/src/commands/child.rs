//! Runs a command as if it had been started in our place: its exit code is ours, and signals reach it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Command,
    signal::unix::{self, SignalKind},
    task::JoinSet,
};

use crate::error::{Error, FAILED};

/// Signals that would end us before the command, and whether they are passed on. The terminal sends
/// Ctrl-C and Ctrl-\ to the command itself; twice would be once too many.
const SIGNALS: [(Signal, bool); 6] = [
    (Signal::HUP, true),
    (Signal::TERM, true),
    (Signal::USR1, true),
    (Signal::USR2, true),
    (Signal::INT, false),
    (Signal::QUIT, false),
];

/// Runs the command to its end and gives its exit code, or 128 and the signal that ended it.
pub async fn run(program: &OsStr, arguments: &[OsString]) -> Result<u8, Error> {
    // Caught first, so that none is missed between the start and here.
    let caught = catch().map_err(Error::local("cannot catch signals"))?;
    let command = || program.to_string_lossy().into_owned();
    let mut child = Command::new(program)
        .args(arguments)
        .spawn()
        .map_err(|source| Error::Run { command: command(), source })?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    // Ended with this function, before the process's number can be another's.
    let mut passing = JoinSet::new();
    for (mut arrivals, signal, passed) in caught {
        passing.spawn(async move {
            while arrivals.recv().await.is_some() {
                if let (Some(pid), true) = (pid, passed) {
                    // It may have ended this moment.
                    let _ = kill_process(pid, signal);
                }
            }
        });
    }
    let status = child.wait().await.map_err(Error::local("cannot wait for the command"))?;
    Ok(code(status))
}

/// The signals to catch. One that is ignored, as by nohup(1), stays ignored, for the command too.
fn catch() -> std::io::Result<Vec<(unix::Signal, Signal, bool)>> {
    let ignored = ignored(&fs::read_to_string("/proc/self/status")?);
    let mut caught = Vec::new();
    for (signal, passed) in SIGNALS {
        if ignored & 1 << (signal.as_raw() - 1) == 0 {
            caught.push((unix::signal(SignalKind::from_raw(signal.as_raw()))?, signal, passed));
        }
    }
    Ok(caught)
}

/// The set of ignored signals from a proc_pid_status(5), bit 0 for signal 1.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_commands() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(15)), 143);
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
    }

    #[test]
    fn ignored_signals_are_read_from_proc() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t1\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }
}

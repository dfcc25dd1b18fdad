//! A command that runs beside the test.

use std::{
    fmt, fs,
    fs::File,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Host, LATER, command::contents, wait::exit_within};

/// A command that was left running in a host. It is killed when this is dropped; when that happens because
/// the test panicked, what it wrote is shown.
pub struct Background {
    command: String,
    child: Child,
    log: File,
    // Keeps the host alive: the command's files and links should outlive it, not the other way round.
    host: Host,
}

impl Background {
    pub(crate) fn new(host: &Host, command: String, child: Child, log: File) -> Self {
        Self { command, child, log, host: host.clone() }
    }

    /// The host it runs in.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// All it has written so far, both streams as they came.
    pub fn log(&self) -> String {
        contents(&self.log)
    }

    /// Its process id as seen from outside the host; panics when it has ended.
    #[track_caller]
    pub fn pid(&mut self) -> Pid {
        entered(&mut self.child).unwrap_or_else(|| panic!("it has ended\n{self}"))
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.exited().is_none()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends it a signal; panics when it has ended.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        let pid = self.pid();
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal: {error}\n{self}"));
        if signal == Signal::CONT {
            // nsenter stopped itself too.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// Waits until it has ended of itself; panics when it does not within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        exit_within(&mut self.child, limit).unwrap_or_else(|| panic!("still running after {limit:?}\n{self}"))
    }

    /// Kills it with SIGKILL, if it still runs, and waits until it is gone.
    pub fn kill9(&mut self) {
        kill_entered(&mut self.child);
        self.child.wait().expect("a child can be waited for");
    }
}

impl fmt::Display for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {} &\n--- log", self.command)?;
        writeln!(f, "{}", self.log().trim_end())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{self}");
        }
        self.kill9();
    }
}

/// Kills what `nsenter` started. It then ends too, with the same status.
pub(crate) fn kill_entered(child: &mut Child) {
    if let Some(pid) = entered(child) {
        // It may end on its own just now.
        let _ = kill_process(pid, Signal::KILL);
        // If what it started was ever stopped, nsenter has stopped itself, and nobody has woken it.
        let _ = kill_process(Pid::from_child(child), Signal::CONT);
    }
}

/// The process that `nsenter` forked into the host, once it has; `None` when it has ended.
fn entered(nsenter: &mut Child) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", nsenter.id());
    let start = Instant::now();
    while nsenter.try_wait().expect("a child can be waited for").is_none() {
        let listed = fs::read_to_string(&children).unwrap_or_default();
        if let Some(pid) = listed.split_whitespace().next() {
            return pid.parse().ok().and_then(Pid::from_raw);
        }
        assert!(start.elapsed() < LATER, "{children} stays empty");
        thread::sleep(Duration::from_millis(1));
    }
    None
}

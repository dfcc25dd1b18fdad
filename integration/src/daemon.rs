//! The daemon under test, in a host.

use std::{os::unix::net::UnixStream, path::PathBuf, process::ExitStatus, thread, time::Duration};

use crate::{Background, Host, LATER, Signal, eventually, paths::program};

const CONFIGURATION: &str = "/etc/v6pod/v6podd.toml";
const SOCKET: &str = "/run/v6pod/v6pod.sock";

/// Where the program is, in a host, that starts another one as if on Linux 3.10.
pub const OLD_KERNEL: &str = "/usr/libexec/v6pod-old-kernel";

/// A rule without limits, to be put at the end of a configuration: for tests that attach more, and more often,
/// than users of a site would.
pub const UNLIMITED: &str = "[[rule]]\nattachments = \"unlimited\"\nrate = \"unlimited\"\n";

/// The host's v6podd. It is killed when this is dropped.
pub struct Daemon {
    host: Host,
    environment: Vec<(String, String)>,
    fault: Option<String>,
    old_kernel: bool,
    running: Option<Background>,
    earlier_log: String,
}

impl Daemon {
    /// A daemon with this configuration, not yet started.
    #[track_caller]
    pub fn new(host: &Host, configuration: &str) -> Self {
        assert!(program("v6podd").is_some(), "v6podd is not built; run make test, or cargo build -p v6podd");
        let daemon = Self {
            host: host.clone(),
            environment: Vec::new(),
            fault: None,
            old_kernel: false,
            running: None,
            earlier_log: String::new(),
        };
        daemon.configure(configuration);
        daemon
    }

    /// Replaces its configuration file; what runs has not read it yet.
    #[track_caller]
    pub fn configure(&self, configuration: &str) {
        self.host.write(CONFIGURATION, configuration);
    }

    /// Sets a variable of its environment from the next start on.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets it see an old kernel from the next start on: see [`OLD_KERNEL`].
    pub fn on_an_old_kernel(&mut self) -> &mut Self {
        self.old_kernel = true;
        self
    }

    /// Makes it die at a step (`attach.link`), fail there (`fail:attach.link`) or stop (`stop:attach.link`),
    /// from the next start on, or puts an end to that. The names are `v6podd::fault::STEPS`.
    #[track_caller]
    pub fn fault(&mut self, fault: Option<&str>) -> &mut Self {
        assert!(
            fault.is_none() || program("v6podd-fault").is_some(),
            "v6podd-fault is not built; run make test, or cargo build -p v6podd --features fault-injection"
        );
        self.fault = fault.map(str::to_owned);
        self
    }

    /// Starts it and waits until its socket answers.
    #[track_caller]
    pub fn start(&mut self) {
        self.launch();
        let socket = self.socket();
        eventually(LATER, || {
            if let Some(status) = self.exited() {
                panic!("v6podd ended at once: {status}\n{}", self.log());
            }
            UnixStream::connect(&socket).map_err(|error| format!("{SOCKET}: {error}\n{}", self.log()))
        });
    }

    /// Starts it and returns at once; for a daemon that is expected to end.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.exited().is_some() || self.running.is_none(), "v6podd is already running");
        self.collect();
        let program = if self.fault.is_some() { "/usr/sbin/v6podd-fault" } else { "/usr/sbin/v6podd" };
        let launcher = self.old_kernel.then_some(OLD_KERNEL);
        let mut command = self.host.command(launcher.into_iter().chain([program, "--config", CONFIGURATION]));
        if let Some(fault) = &self.fault {
            command = command.env("V6POD_FAULT", fault);
        }
        let command =
            self.environment.iter().fold(command, |command, (name, value)| command.env(name, value));
        self.running = Some(command.spawn());
    }

    /// Ends it with SIGTERM; panics unless it then ends with status 0.
    #[track_caller]
    pub fn stop(&mut self) {
        self.process().signal(Signal::TERM);
        let status = self.wait(LATER);
        assert!(status.success(), "v6podd did not end well: {status}\n{}", self.log());
    }

    /// Ends it with SIGTERM and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Kills it with SIGKILL, if it still runs.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.process().kill9();
    }

    /// Waits until it has ended of itself; panics when it does not within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process().wait(limit)
    }

    /// How it ended, if it was started and has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.running.as_mut().and_then(Background::exited)
    }

    /// Everything it has logged, over all its runs.
    pub fn log(&self) -> String {
        let log = self.running.as_ref().map(Background::log).unwrap_or_default();
        format!("{}{log}", self.earlier_log)
    }

    /// Its socket, as this process can connect to it.
    pub fn socket(&self) -> PathBuf {
        self.host.path(SOCKET)
    }

    /// The running process; for its pid, or another signal.
    #[track_caller]
    pub fn process(&mut self) -> &mut Background {
        self.running.as_mut().expect("v6podd was never started")
    }

    /// Keeps the log of a run that is over.
    fn collect(&mut self) {
        self.earlier_log = self.log();
        self.running = None;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The last run shows its own.
        if thread::panicking() && !self.earlier_log.is_empty() {
            eprintln!("--- earlier runs of v6podd\n{}", self.earlier_log.trim_end());
        }
    }
}

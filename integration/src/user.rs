//! A user of a host: an ordinary one, in no special group, with podman set up for them; or root.

use std::ffi::{OsStr, OsString};

use crate::{Background, Command, Host, Output, command::Account};

/// A user of a host, to run commands as. Podman finds an image called `busybox` in their storage; not so in
/// root's.
#[derive(Clone)]
pub struct User {
    host: Host,
    /// `None` is root's.
    account: Option<Account>,
}

impl User {
    pub(crate) fn new(host: &Host, account: Option<Account>) -> Self {
        Self { host: host.clone(), account }
    }

    /// The host they are a user of.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Their user id; an ordinary user's is no other living host's.
    pub fn uid(&self) -> u32 {
        self.account.as_ref().map_or(0, |account| account.uid)
    }

    /// Their name.
    pub fn name(&self) -> &str {
        self.account.as_ref().map_or("root", |account| &account.name)
    }

    /// A command of theirs, to be refined before it is run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        Command::new(&self.host, self.account.clone(), arguments)
    }

    /// Runs a command to its end; panics unless it succeeds.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).run()
    }

    /// Runs a command to its end, whatever that is.
    #[track_caller]
    pub fn try_run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).try_run()
    }

    /// Runs a shell script to its end; panics unless it succeeds.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.run(["bash", "-euc", script])
    }

    /// Starts a command and leaves it running.
    #[track_caller]
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Background {
        self.command(arguments).spawn()
    }

    /// Runs podman; panics unless it succeeds.
    #[track_caller]
    pub fn podman<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.podman_command(arguments).run()
    }

    /// Runs podman, whatever comes of it.
    #[track_caller]
    pub fn try_podman<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.podman_command(arguments).try_run()
    }

    /// A run of podman, to be refined.
    pub fn podman_command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.command(prefixed(&["podman"], arguments)).in_engine()
    }

    /// The process id, inside the host, of a running container's first process.
    #[track_caller]
    pub fn container_pid(&self, container: &str) -> u32 {
        let output = self.podman(["inspect", "--format", "{{.State.Pid}}", container]);
        output.text().parse().unwrap_or_else(|_| panic!("no process id\n{output}"))
    }

    /// A command of the host's root in the network namespace of a running container, and in that alone: all
    /// of the host's tools can look at the container's network.
    #[track_caller]
    pub fn container_net<A: AsRef<OsStr>>(
        &self,
        container: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let namespace = format!("--net=/proc/{}/ns/net", self.container_pid(container));
        self.host.command(prefixed(&["nsenter", &namespace, "--"], arguments))
    }
}

fn prefixed<A: AsRef<OsStr>>(prefix: &[&str], arguments: impl IntoIterator<Item = A>) -> Vec<OsString> {
    let prefix = prefix.iter().map(OsString::from);
    prefix.chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())).collect()
}

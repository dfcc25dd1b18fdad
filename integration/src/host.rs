//! A test host: namespaces held by one process, which ends when the host does.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, OnceLock},
};

use rustix::process::geteuid;

use crate::{
    Background, Command, Consul, Daemon, Output, Snapshot, User,
    command::Account,
    daemon::OLD_KERNEL,
    engine,
    namespaces::CLIENT,
    paths::{cache, program},
    slot::Slot,
};

/// Where the shim is in a host: this is what podman is told to call instead of slirp4netns.
const WRAPPER: &str = "/usr/libexec/v6pod/slirp4netns";

/// A host of its own, for one test. Clones are the same host; it is gone when the last one is dropped.
#[derive(Clone)]
pub struct Host(Arc<Holder>);

/// The process that holds the namespaces: PID 1 of the host, and its parent on the machine.
struct Holder {
    name: String,
    pid: u32,
    users: Vec<Account>,
    engine: OnceLock<PathBuf>,
    parent: Child,
    // Dropped, or closed by the kernel when this process dies, it ends the host.
    stdin: Option<ChildStdin>,
    // Last: the ids are free again once the host has ended.
    _slot: Slot,
}

/// What a host shall be like.
#[must_use = "nothing happens before build"]
pub struct Builder {
    name: String,
    users: Vec<String>,
    network_command: &'static str,
    engine: Option<&'static str>,
}

impl Builder {
    /// Adds a user.
    pub fn user(mut self, name: &str) -> Self {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name:?}: use a-z only");
        self.users.push(name.to_owned());
        self
    }

    /// Lets podman call the real slirp4netns instead of v6pod's wrapper.
    pub fn without_wrapper(mut self) -> Self {
        self.network_command = "/usr/bin/slirp4netns";
        self
    }

    /// Gives its users the podman of another Debian release, `11` (3.0.1) or `13` (5.4.2). With v6pod's
    /// wrapper, slirp4netns is what rootless containers get by default there; without it, that is left as it
    /// is.
    pub fn engine(mut self, release: &'static str) -> Self {
        self.engine = Some(release);
        self
    }

    /// Makes the host.
    #[track_caller]
    pub fn build(self) -> Host {
        assert!(geteuid().is_root(), "these tests make network namespaces: run as root");
        assert!(cache().join("ready").exists(), "{}: not there; run integration/prepare", cache().display());
        let slot = Slot::take();
        let users: Vec<Account> = self
            .users
            .iter()
            .enumerate()
            .map(|(index, name)| Account { name: name.clone(), uid: slot.ids(index).0 })
            .collect();
        let mut parent = self.spawn(&slot, &users);
        let stdin = parent.child.stdin.take();
        let pid = parent.wait_until_ready();
        let (parent, engine) = (parent.child, OnceLock::new());
        let host = Host(Arc::new(Holder { name: self.name, pid, users, engine, parent, stdin, _slot: slot }));
        if let Some(release) = self.engine {
            host.0.engine.get_or_init(|| engine::set_up(&host, release, self.network_command));
            if release == "11" {
                host.0.users.iter().for_each(|account| engine::import(&host, account));
            }
        }
        host
    }

    fn spawn(&self, slot: &Slot, users: &[Account]) -> Starting {
        let accounts = users.iter().enumerate().map(|(index, Account { name, uid })| {
            let (_, subuid) = slot.ids(index);
            format!("{name}:{uid}:{subuid}")
        });
        let complaints = tempfile::tempfile().expect("a temporary file can be made");
        let child = std::process::Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"])
            .args(["--", "bash", "-c", include_str!("host.sh"), "v6pod-test-host", &self.name])
            .arg(cache())
            .arg(self.network_command)
            .args(accounts)
            .args(self.programs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().expect("a descriptor can be copied"))
            .spawn()
            .expect("cannot start unshare");
        Starting { child, complaints }
    }

    /// The programs under test that were built, as `SOURCE:TARGET`.
    #[track_caller]
    fn programs(&self) -> Vec<String> {
        let shim = program("v6pod-shim");
        assert!(
            shim.is_some() || self.network_command != WRAPPER,
            "v6pod-shim is not built; run make test, or cargo build -p v6pod-client --profile shim"
        );
        let programs = [
            (program("v6podd"), "/usr/sbin/v6podd"),
            (program("v6podd-fault"), "/usr/sbin/v6podd-fault"),
            (program("v6pod"), "/usr/bin/v6pod"),
            (program("v6pod-test-client"), CLIENT),
            (program("v6pod-old-kernel"), OLD_KERNEL),
            (shim, WRAPPER),
        ];
        programs
            .into_iter()
            .filter_map(|(source, target)| Some(format!("{}:{target}", source?.display())))
            .collect()
    }
}

/// A host that is being set up.
struct Starting {
    child: Child,
    complaints: fs::File,
}

impl Starting {
    /// Waits for the set-up to end and returns the process id of the host's PID 1.
    #[track_caller]
    fn wait_until_ready(&mut self) -> u32 {
        let stdout = self.child.stdout.take().expect("standard output is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok()).unwrap_or_else(|| {
            let mut text = String::new();
            let _ = self.complaints.rewind().and_then(|()| self.complaints.read_to_string(&mut text));
            let _ = self.child.wait();
            panic!("a test host could not be set up: {line}{text}")
        })
    }
}

impl Host {
    /// A host with these users, whose podman calls v6pod's wrapper.
    #[track_caller]
    pub fn new(name: &str, users: &[&str]) -> Self {
        users.iter().fold(Self::builder(name), |builder, user| builder.user(user)).build()
    }

    /// A host to be described further.
    pub fn builder(name: &str) -> Builder {
        Builder { name: name.to_owned(), users: Vec::new(), network_command: WRAPPER, engine: None }
    }

    /// The name it was given, which is also its host name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its PID 1, as the machine numbers it.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// The mount namespace of another release's podman, if its users have that.
    pub(crate) fn engine(&self) -> Option<&Path> {
        self.0.engine.get().map(PathBuf::as_path)
    }

    /// One of its users.
    #[track_caller]
    pub fn user(&self, name: &str) -> User {
        let account = self.0.users.iter().find(|account| account.name == name).cloned();
        User::new(self, Some(account.unwrap_or_else(|| panic!("{} has no user {name}", self.name()))))
    }

    /// Root, to run podman as.
    pub fn root(&self) -> User {
        User::new(self, None)
    }

    /// A file of the host as this process can open it. Beware of symbolic links on the way that begin with a
    /// slash (`/var/run` is one): they lead to the machine's files.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let inside = path.as_ref().strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(inside)
    }

    /// Writes a file of the host, and makes the folders it is in.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .and_then(|()| fs::write(&path, contents))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// A command of root's, to be refined before it is run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        Command::new(self, None, arguments)
    }

    /// Runs a command as root to its end; panics unless it succeeds.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).run()
    }

    /// Runs a command as root to its end, whatever that is.
    #[track_caller]
    pub fn try_run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command(arguments).try_run()
    }

    /// Runs a shell script as root to its end; panics unless it succeeds.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.run(["bash", "-euc", script])
    }

    /// Starts a command as root and leaves it running.
    #[track_caller]
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Background {
        self.command(arguments).spawn()
    }

    /// Starts the daemon with this configuration and waits until it answers.
    #[track_caller]
    pub fn daemon(&self, configuration: &str) -> Daemon {
        let mut daemon = Daemon::new(self, configuration);
        daemon.start();
        daemon
    }

    /// Starts a Consul agent that remembers nothing when it is started again, and waits until it serves.
    #[track_caller]
    pub fn consul(&self) -> Consul {
        Consul::in_memory(self)
    }

    /// All of the host that a program can alter in the network and forget to put back.
    #[track_caller]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(self)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Ends after PID 1, which ends after everything else in the host.
        let _ = self.parent.wait();
    }
}

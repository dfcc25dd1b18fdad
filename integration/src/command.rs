//! A command in a host: as root or as one of its users, run to its end or left in the background.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Seek, Write},
    os::unix::fs::FileExt,
    process::{self, Child, Stdio},
    time::Duration,
};

use crate::{Background, Host, Output, background::kill_entered, wait::exit_within};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a command may take unless its [`Command::limit`] says otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// Who runs a command, besides root.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
}

/// A command to be run in a host. Its environment is clean, its directory the home of whoever runs it.
#[must_use = "nothing happens before run, try_run or spawn"]
pub struct Command {
    host: Host,
    account: Option<Account>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    limit: Duration,
    in_engine: bool,
}

impl Command {
    pub(crate) fn new<A: AsRef<OsStr>>(
        host: &Host,
        account: Option<Account>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let (host, environment) = (host.clone(), Vec::new());
        Self { host, account, arguments, environment, input: None, limit: LIMIT, in_engine: false }
    }

    /// Takes the program from the host's other release, if it has one; [`crate::User::podman`] does so.
    pub fn in_engine(mut self) -> Self {
        self.in_engine = true;
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the command something to read; without it, standard input is empty.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Sets how long the command may take; a command that takes longer is killed and the test fails.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end; panics, showing both streams, unless it succeeds.
    #[track_caller]
    pub fn run(self) -> Output {
        self.try_run().expect_success()
    }

    /// Runs it to its end, whatever that is.
    #[track_caller]
    pub fn try_run(self) -> Output {
        // Files, not pipes: what the command leaves running may keep them open, and we wait for it alone.
        let (stdout, stderr) = (scratch(), scratch());
        let mut child = self.start(copy(&stdout), copy(&stderr));
        let status = exit_within(&mut child, self.limit);
        if status.is_none() {
            kill_entered(&mut child);
        }
        let output = Output {
            command: self.describe(),
            status: child.wait().expect("a child can be waited for"),
            stdout: contents(&stdout),
            stderr: contents(&stderr),
        };
        assert!(status.is_some(), "the command was still running after {:?}\n{output}", self.limit);
        output
    }

    /// Starts it and leaves it running until the value is dropped.
    #[track_caller]
    pub fn spawn(self) -> Background {
        let log = scratch();
        let child = self.start(copy(&log), copy(&log));
        Background::new(&self.host, self.describe(), child, log)
    }

    #[track_caller]
    fn start(&self, stdout: File, stderr: File) -> Child {
        let stdin = self.input.as_ref().map_or_else(Stdio::null, |bytes| {
            let mut file = scratch();
            file.write_all(bytes).and_then(|()| file.rewind()).expect("a temporary file takes the input");
            file.into()
        });
        self.entered()
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start nsenter: {error}"))
    }

    /// The command behind `nsenter`, which takes it into the host, and `setpriv`, which makes it the user's
    /// and ties its life to `nsenter`'s.
    fn entered(&self) -> process::Command {
        let home = self.home();
        let mut command = process::Command::new("nsenter");
        let engine = self.host.engine().filter(|_| self.in_engine);
        let mount = engine.map_or_else(|| "--mount".to_owned(), |path| format!("--mount={}", path.display()));
        command
            .args(["--net", &mount, "--pid", "--uts", "--ipc", "--cgroup", "--target"])
            .arg(self.host.pid().to_string())
            .arg(format!("--wdns={home}"))
            .args(["--", "setpriv", "--pdeathsig", "KILL"])
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", &home);
        if let Some(Account { name, uid }) = &self.account {
            command
                .arg(format!("--reuid={uid}"))
                .arg(format!("--regid={uid}"))
                .arg("--init-groups")
                .env("USER", name)
                .env("LOGNAME", name)
                .env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
        }
        command
            .arg("--")
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn home(&self) -> String {
        self.account.as_ref().map_or_else(|| "/".to_owned(), |account| format!("/home/{}", account.name))
    }

    fn describe(&self) -> String {
        let who = self.account.as_ref().map_or("root", |account| &account.name);
        let words: Vec<_> = self.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        format!("[{who}@{}] {}", self.host.name(), words.join(" "))
    }
}

fn scratch() -> File {
    tempfile::tempfile().expect("a temporary file can be made")
}

fn copy(file: &File) -> File {
    file.try_clone().expect("a descriptor can be copied")
}

/// All that was written to a scratch file so far. Reads by position: the writer shares the file's offset.
pub(crate) fn contents(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |data| data.len()).try_into().unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0).expect("a temporary file can be read");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

//! Clean-up: puts the host back as it was before the first start. `v6pod cleanup --all` executes
//! `v6podd --cleanup`, because the drivers that know what there is to undo are here.
//!
//! # Theory of operation
//! First it is refused for whoever is not root, and while a daemon runs or systemd listens in its place. Then
//! everything is looked for, by the marks by which a start finds it again and not by what records say there
//! should be, so that it works after a crash, with broken records and without a configuration. Only then is it
//! removed, piece by piece; what fails is told and the rest goes on. The state directory goes last, and only if
//! nothing failed: it holds what is needed to try again.
//!
//! What only looks at links, rules and files is in [`host`], the rest in [`state`].

mod host;
mod state;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use serde::Serialize;

use crate::{
    config::{self, Config},
    socket,
    store::{self, Remains},
};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The configuration file.
    pub config: &'a Path,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The audit, too.
    pub purge: bool,
}

/// Why nothing was done at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is not root.
    #[error("only root can clean up: try sudo")]
    NotRoot,
    /// A daemon, or systemd for it, listens.
    #[error(
        "somebody listens on {}: stop it first: systemctl stop v6podd.socket v6podd.service, or kill the v6podd that was started by hand", .0.display()
    )]
    Served(PathBuf),
    /// The state cannot be read, or is in use.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The kernel would not say.
    #[error("{step}: {source}")]
    Look {
        /// What was looked for.
        step: &'static str,
        /// The answer.
        source: io::Error,
    },
}

impl Error {
    fn look(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Look { step, source }
    }
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    /// It is gone.
    Removed,
    /// It is as it was.
    Restored,
    /// It stays, on purpose.
    Kept,
    /// It stays, and should not.
    Failed,
}

/// One line of the report: a JSON object, which `v6pod cleanup` reads.
#[derive(Debug, Serialize)]
struct Item<'a> {
    kind: &'static str,
    object: &'a str,
    done: Done,
    detail: &'a str,
}

type Act<'a> = Box<dyn FnOnce() -> Result<(), String> + 'a>;

/// A thing that was found, and how to be rid of it.
struct Task<'a> {
    kind: &'static str,
    object: String,
    done: Done,
    detail: String,
    /// None: nothing is to be done.
    act: Option<Act<'a>>,
}

impl<'a> Task<'a> {
    /// Something to be removed.
    fn remove(
        kind: &'static str,
        object: impl Into<String>,
        act: impl FnOnce() -> Result<(), String> + 'a,
    ) -> Self {
        let (object, detail) = (object.into(), String::new());
        Self { kind, object, done: Done::Removed, detail, act: Some(Box::new(act)) }
    }

    /// Something to be told.
    fn tell(kind: &'static str, object: impl Into<String>, done: Done, detail: impl Into<String>) -> Self {
        Self { kind, object: object.into(), done, detail: detail.into(), act: None }
    }

    fn with(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    fn run(mut self, dry_run: bool) -> (bool, String) {
        if let Some(Err(error)) = self.act.take().filter(|_| !dry_run).map(|act| act()) {
            (self.done, self.detail) = (Done::Failed, error);
        }
        let item = Item { kind: self.kind, object: &self.object, done: self.done, detail: &self.detail };
        (self.done != Done::Failed, serde_json::to_string(&item).unwrap_or_default())
    }
}

/// Cleans up, or says what would be. One line of JSON on standard output for each thing. False: something
/// could not be removed.
///
/// # Errors
/// See [`Error`]; then nothing was changed.
pub fn run(options: Options<'_>) -> Result<bool, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let (config, unreadable) = match Config::load(options.config) {
        Ok(config) => (config, None),
        Err(error) => (defaults(), Some(error.to_string())),
    };
    if is_listened_on(&config.socket.path) {
        return Err(Error::Served(config.socket.path));
    }
    let boot =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Error::look("reading the boot id"))?;
    let remains = store::remains(&config.state_dir, &boot, options.dry_run)?;
    let found = Found { config: &config, boot: boot.trim(), remains: &remains, options };

    let mut report = Report { dry_run: options.dry_run, well: true };
    found.configuration(unreadable).into_iter().for_each(|task| report.run(task));
    let names = state::Names::find(&config);
    names.tasks().into_iter().for_each(|task| report.run(task));
    // All are looked for before any is removed: what belongs together is told apart by what is there.
    let tasks = host::tasks(&found)?;
    let is_something = tasks.iter().any(|task| task.act.is_some()) || !remains.attachments.is_empty();
    tasks.into_iter().for_each(|task| report.run(task));
    state::runtime(&found, is_something || remains.others > 0).into_iter().for_each(|task| report.run(task));
    for task in state::directory(&found) {
        let task =
            if report.well { task } else { Task { act: None, done: Done::Kept, ..task }.with(state::AGAIN) };
        report.run(task);
    }
    Ok(report.well)
}

/// What every step looks at.
struct Found<'a> {
    config: &'a Config,
    boot: &'a str,
    remains: &'a Remains,
    options: Options<'a>,
}

impl Found<'_> {
    fn configuration(&self, unreadable: Option<String>) -> Option<Task<'static>> {
        let path = self.options.config.display().to_string();
        match unreadable {
            Some(error) => {
                let detail = format!(
                    "{error}: cleaned up as if it were empty; mend it or move it away, and run this again"
                );
                Some(Task::tell("configuration", path, Done::Failed, detail))
            }
            None => {
                let folder = self.options.config.parent()?;
                self.options.config.exists().then(|| {
                    Task::tell(
                        "configuration",
                        folder.display().to_string(),
                        Done::Kept,
                        "it is the administrator's",
                    )
                })
            }
        }
    }
}

/// Where the report goes.
struct Report {
    dry_run: bool,
    well: bool,
}

impl Report {
    fn run(&mut self, task: Task<'_>) {
        let (well, line) = task.run(self.dry_run);
        self.well &= well;
        // A reader that has gone is no reason to stop half-way.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// An empty configuration.
fn defaults() -> Config {
    Config::parse("", Path::new(config::PATH))
        .unwrap_or_else(|error| unreachable!("nothing is wrong with nothing: {error}"))
}

/// Whether somebody listens on a socket. systemd is told from the kernel's list: to connect would have it start
/// the daemon. A daemon of its own has bound to another name, and is called.
fn is_listened_on(path: &Path) -> bool {
    is_listed(path) && is_bound(path) || socket::is_served(path)
}

/// Whether some socket was bound to this path and listens: perhaps to another file, that the path leads to in
/// a mount namespace of a user's.
fn is_listed(path: &Path) -> bool {
    /// `__SO_ACCEPTCON`, include/linux/net.h
    const LISTENING: &str = "00010000";
    let list = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    list.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.nth(3) == Some(LISTENING) && words.nth(3).map(Path::new) == Some(path)
    })
}

/// Whether a living socket of a connection's kind is bound to this very file. Who calls it with a datagram
/// socket is told that it is of the wrong type, and the other end nothing (`unix_find_other`,
/// net/unix/af_unix.c).
fn is_bound(path: &Path) -> bool {
    let called = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    called.is_err_and(|error| error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_file_is_bound_as_long_as_its_socket_lives_and_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let [first, path] = ["first", "socket"].map(|name| folder.path().join(name));
        assert!(!is_bound(&path));
        let listener = UnixListener::bind(&first).unwrap();
        fs::rename(&first, &path).unwrap();
        assert!(is_bound(&path) && !is_bound(&first));
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody called");
        drop(listener);
        assert!(path.exists() && !is_bound(&path));
    }
}

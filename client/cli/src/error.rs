//! Why a command failed: one sentence that names the object and says what to do next, and an exit code.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::{Code, Status};
use v6pod_client::connect;

use crate::{commands::setup, text};

/// Exit codes, as `--help` has them.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// What was named does not exist.
pub const NOT_FOUND: u8 = 3;
/// The daemon is not there.
pub const AWAY: u8 = 4;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `V6POD_SOCKET` is wrong.
    #[error(transparent)]
    Variable(connect::Error),
    /// Nobody listens.
    #[error("v6podd is not running ({}): {}", absent(.socket, .source), start(.socket))]
    Away {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The socket is closed to this user.
    #[error(
        "you may not use {}: ask the administrator, who decides by its mode and group",
        .0.display()
    )]
    Closed(PathBuf),
    /// Another trouble with the socket.
    #[error(transparent)]
    Connect(connect::Error),
    /// The daemon takes too long.
    #[error("{what}: v6podd did not answer within {} s: its log may say why", .limit.as_secs())]
    Slow {
        /// What was asked for.
        what: String,
        /// How long that may take.
        limit: Duration,
    },
    /// The connection ended in the middle of a call.
    #[error("{what}: v6podd went away before it answered: see systemctl status v6podd")]
    HungUp {
        /// What was asked for.
        what: String,
    },
    /// The daemon said no.
    #[error("{what}: {}", .status.message())]
    Refused {
        /// What was asked for.
        what: String,
        /// What it said.
        status: Status,
    },
    /// The answer lacks something.
    #[error("{0}: the answer of v6podd is incomplete: client and daemon may be of different versions")]
    Incomplete(String),
    /// A watch came to its end.
    #[error("v6podd went away: start v6pod watch again when it is back")]
    WatchOver,
    /// A watch was ended by the daemon.
    #[error("v6podd ended the watch: {}: start v6pod watch again", .0.message())]
    WatchEnded(Status),
    /// No attachment fits.
    #[error("there is no attachment {0:?}: v6pod list shows those there are")]
    NoAttachment(String),
    /// The beginning of a container's id, and not enough of it.
    #[error("there is no attachment {which:?}: of a container's id give {least} or more characters")]
    TooShort {
        /// What was given.
        which: String,
        /// How many it takes.
        least: usize,
    },
    /// Nobody had it then.
    #[error("nothing is found{}: {reach}", .what.as_ref().map(|what| format!(" of {what:?}")).unwrap_or_default())]
    NoHistory {
        /// What was asked for.
        what: Option<String>,
        /// How far back that could be found.
        reach: String,
    },
    /// Several attachments fit.
    #[error("{which:?} fits {}: give the id of one: {}", text::count(.candidates.len(), "attachment"), some(.candidates))]
    Ambiguous {
        /// What was given.
        which: String,
        /// Those that fit, described.
        candidates: Vec<String>,
    },
    /// There is no such user.
    #[error("there is no user {0:?} in /etc/passwd: give the uid")]
    NoUser(String),
    /// A port cannot be taken from everything.
    #[error(
        "everything may reach {0}: open what shall stay open with v6pod expose {0} PORT..., or close all with v6pod close {0}"
    )]
    AllOpen(String),
    /// There is no such process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// There is no such file.
    #[error("there is no {}: give a process's number or the path of a network namespace", .0.display())]
    NoNamespace(PathBuf),
    /// The namespace cannot be opened.
    #[error("cannot open {}: {source}{}", .path.display(), yours(.source))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The command cannot be started.
    #[error("cannot run {command}: {source}")]
    Run {
        /// The command.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// This side lacks something: descriptors, memory.
    #[error("{step}: {source}")]
    Local {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Registries, or the audit, are unhealthy.
    #[error("{0}")]
    Unhealthy(String),
    /// Nothing was cleaned up; why, in the daemon's program's words.
    #[error("{0}")]
    Cleanup(String),
    /// The daemon's program is missing.
    #[error("there is no /usr/sbin/v6podd, which cleans up: install v6pod again, then clean up")]
    NoDaemon,
    /// Configuration could not be written.
    #[error(transparent)]
    Setup(#[from] setup::Error),
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl Error {
    /// Whether a daemon said or did this that is stopping, for another to take its place.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::HungUp { .. } | Self::Connect(connect::Error::Handshake { .. }) => true,
            Self::Refused { status, .. } => status.code() == Code::Unavailable,
            _ => false,
        }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Variable(_) => USAGE,
            Self::Away { .. } | Self::HungUp { .. } | Self::WatchOver => AWAY,
            Self::Refused { status, .. } => match status.code() {
                Code::NotFound => NOT_FOUND,
                Code::Unavailable => AWAY,
                _ => FAILED,
            },
            Self::NoAttachment(_)
            | Self::TooShort { .. }
            | Self::NoHistory { .. }
            | Self::NoUser(_)
            | Self::NoProcess(_)
            | Self::NoNamespace(_) => NOT_FOUND,
            Self::Setup(error) => error.exit_code(),
            // As shells and env(1) have it.
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Run { .. } => 126,
            _ => FAILED,
        }
    }

    /// Whether whoever read our output has seen enough, which is no failure.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The line for standard error.
    pub fn line(&self) -> String {
        format!("v6pod: {}", text::escape(&self.to_string()))
    }

    /// A function that says which step failed.
    pub fn local(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Local { step, source }
    }
}

impl From<connect::Error> for Error {
    fn from(error: connect::Error) -> Self {
        match error {
            connect::Error::Relative(_) => Self::Variable(error),
            connect::Error::Away { socket, source } => Self::Away { socket, source },
            connect::Error::Connect { socket, source }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Self::Closed(socket)
            }
            error => Self::Connect(error),
        }
    }
}

fn absent(socket: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => format!("no {}", socket.display()),
        _ => format!("nobody listens on {}", socket.display()),
    }
}

/// Another socket than everybody's belongs to a daemon that systemctl does not know.
fn start(socket: &Path) -> &'static str {
    if socket == Path::new(v6pod_proto::SOCKET) {
        "systemctl start v6podd"
    } else {
        "start it, or name its socket with --socket"
    }
}

fn yours(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => ": the process has to be yours",
        _ => "",
    }
}

/// The first few of them.
fn some(candidates: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut some = candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if candidates.len() > SHOWN {
        some.push_str(&format!(" and {} more", candidates.len() - SHOWN));
    }
    some
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_away_is_said_to_be() {
        let away =
            |socket: &str, kind: io::ErrorKind| Error::Away { socket: socket.into(), source: kind.into() };
        let error = away("/run/v6pod/v6pod.sock", io::ErrorKind::NotFound);
        assert_eq!(
            (error.line().as_str(), error.exit_code()),
            ("v6pod: v6podd is not running (no /run/v6pod/v6pod.sock): systemctl start v6podd", 4)
        );
        assert_eq!(
            away("/x", io::ErrorKind::ConnectionRefused).line(),
            "v6pod: v6podd is not running (nobody listens on /x): start it, or name its socket with --socket"
        );
    }

    #[test]
    fn exit_codes_follow_the_cause() {
        let refused = |status| Error::Refused { what: "x".to_owned(), status }.exit_code();
        assert_eq!(refused(Status::not_found("")), 3);
        assert_eq!(refused(Status::unavailable("")), 4);
        assert_eq!(refused(Status::already_exists("")), 1);
        let run =
            |kind: io::ErrorKind| Error::Run { command: "x".to_owned(), source: kind.into() }.exit_code();
        assert_eq!((run(io::ErrorKind::NotFound), run(io::ErrorKind::PermissionDenied)), (127, 126));
        assert!(Error::Output(io::ErrorKind::BrokenPipe.into()).is_reader_gone());
    }

    #[test]
    fn the_line_is_one_line() {
        let status = Status::invalid_argument("a\n\x1b[31mb");
        let error = Error::Refused { what: "cannot attach \u{202e}".to_owned(), status };
        assert_eq!(error.line(), r"v6pod: cannot attach \u{202e}: a\n\u{1b}[31mb");
    }

    #[test]
    fn many_candidates_are_not_all_listed() {
        let candidates: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
        assert_eq!(some(&candidates), "c0, c1, c2, c3, c4, c5, c6, c7 and 2 more");
    }
}

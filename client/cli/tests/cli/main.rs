//! The built program against a daemon that answers as the test says.
//!
//! The program believes a daemon only if it is root's, so these run as root.

// Clippy sees tests in functions marked so, not in their helpers.
#![allow(clippy::unwrap_used)]

mod attach;
mod commands;
mod daemon;
mod history;
mod terminal;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use daemon::{Answers, Daemon};
use tempfile::TempDir;

/// A daemon, its socket, and the program that is to use it.
struct Site {
    folder: TempDir,
    daemon: Daemon,
}

impl Site {
    fn new(answers: Answers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&folder.path().join("socket"), answers);
        Self { folder, daemon }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The program with these arguments, ready to run.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("V6POD_SOCKET", self.socket());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }
}

/// The program with these arguments and a plain environment.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_v6pod"));
    command.args(arguments).env_remove("V6POD_SOCKET").env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

/// What a run of the program came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// It worked, said nothing on standard error, and this on standard output.
    #[track_caller]
    fn gives(self, stdout: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert_eq!(self.stdout, stdout);
    }

    /// It failed with this code and this one line, and nothing on standard output.
    #[track_caller]
    fn fails(self, code: i32, line: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert_eq!(self.stderr, format!("{line}\n"));
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

//! What a finished command left behind.

use std::{fmt, process::ExitStatus};

use serde_json::Value;

/// The status and both streams of a finished command. Displayed, it shows all of them.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command, as one would type it.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Standard output without the space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }

    /// Itself, if the command succeeded.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.success(), "the command failed\n{self}");
        self
    }

    /// Itself, if the command failed.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(!self.success(), "the command succeeded and should not have\n{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}\n{}", self.command, self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

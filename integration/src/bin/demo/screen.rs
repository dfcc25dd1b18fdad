//! What is shown: each command as somebody would type it, and all that it really answered.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use v6pod_integration::{Command, Host, Output, User};

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

const GREY: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "1;32";
const CYAN: &str = "1;36";

/// Somebody at a shell of the host.
pub struct Shell<'a> {
    prompt: &'static str,
    colour: &'static str,
    command: Box<dyn Fn(&str) -> Command + 'a>,
}

impl<'a> Shell<'a> {
    /// The administrator.
    pub fn root(host: &'a Host) -> Self {
        let command = |line: &str| host.command(["bash", "-c", line]);
        Self { prompt: "root#", colour: RED, command: Box::new(command) }
    }

    /// The web server's owner.
    pub fn alice(user: &'a User) -> Self {
        let command = |line: &str| user.command(["bash", "-c", line]);
        Self { prompt: "alice$", colour: GREEN, command: Box::new(command) }
    }

    /// Another user.
    pub fn bob(user: &'a User) -> Self {
        let command = |line: &str| user.command(["bash", "-c", line]);
        Self { prompt: "bob$", colour: CYAN, command: Box::new(command) }
    }
}

/// Standard output, with or without colour.
pub struct Screen {
    colour: bool,
}

impl Screen {
    /// Colour is for terminals, and for those who have not said no (<https://no-color.org>).
    pub fn new() -> Self {
        let declined = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: io::stdout().is_terminal() && !declined }
    }

    /// Says what comes next.
    pub fn say(&self, text: &str) {
        self.line(&format!("\n{}", self.painted(GREY, &format!("# {text}"))));
    }

    /// Shows a command that runs on, and nothing of what it says.
    pub fn started(&self, shell: &Shell<'_>, typed: &str) {
        self.line(&format!("{} {typed}", self.painted(shell.colour, shell.prompt)));
    }

    /// Runs what is typed and shows it with what it answered, which has to be `expected`.
    ///
    /// # Errors
    /// It failed, or `expected` says what is wrong with the answer.
    pub fn run(
        &self,
        shell: &Shell<'_>,
        typed: &str,
        expected: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String, String> {
        self.started(shell, typed);
        let start = Instant::now();
        let (output, verdict) = loop {
            let output = (shell.command)(typed).try_run();
            let verdict = judge(&output, &expected);
            if verdict.is_ok() || start.elapsed() > PATIENCE {
                break (output, verdict);
            }
            thread::sleep(PAUSE);
        };
        for text in [&output.stdout, &output.stderr] {
            if !text.trim().is_empty() {
                self.line(text.trim_end());
            }
        }
        verdict.map(|()| output.stdout).map_err(|problem| format!("{typed}: {problem}"))
    }

    /// Runs something once, because it cannot be tried again.
    ///
    /// # Errors
    /// It failed.
    pub fn once(&self, shell: &Shell<'_>, typed: &str) -> Result<String, String> {
        self.started(shell, typed);
        let output = (shell.command)(typed).try_run();
        self.line(output.text());
        judge(&output, &|_: &str| Ok(()))
            .map(|()| output.stdout)
            .map_err(|problem| format!("{typed}: {problem}"))
    }

    /// Writes a line. Nobody reading any more is no failure.
    pub fn line(&self, text: &str) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn judge(output: &Output, expected: &impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    if !output.success() {
        return Err(format!("it failed ({})\n{}", output.status, output.stderr.trim_end()));
    }
    expected(&output.stdout)
}

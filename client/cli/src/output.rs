//! Standard output: what it can show, and the one place that writes to it.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::SystemTime,
};

use serde::Serialize;

use crate::{error::Error, json};

/// How a text may look.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The terminal's width in characters; none: as wide as it gets.
    pub width: Option<usize>,
    /// Whether colours may be used.
    pub colour: bool,
    /// The time that ages count up to.
    pub now: SystemTime,
}

/// How a piece of text stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    Plain,
    /// Headings.
    Bold,
    /// Not at rest.
    Yellow,
    /// Amiss.
    Red,
}

impl View {
    /// What standard output is. Colours are for terminals, and only where <https://no-color.org> and
    /// `TERM` leave them.
    fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let size = terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        Self {
            width: size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0),
            colour: terminal && !set("NO_COLOR") && !dumb,
            now: SystemTime::now(),
        }
    }

    /// The text in its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bold => 1,
            Tone::Yellow => 33,
            Tone::Red => 31,
            Tone::Plain => return text.to_owned(),
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Standard output.
#[derive(Debug)]
pub struct Output {
    stdout: io::StdoutLock<'static>,
    /// What it can show.
    pub view: View,
    /// Whether JSON is wanted.
    pub json: bool,
}

impl Output {
    /// Locks standard output until the program ends.
    pub fn new(json: bool) -> Self {
        Self { stdout: io::stdout().lock(), view: View::of_stdout(), json }
    }

    /// Writes text that is ready to be seen, at once.
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.stdout.write_all(text.as_bytes()).and_then(|()| self.stdout.flush()).map_err(Error::Output)
    }

    /// Writes one JSON document on several lines.
    pub fn document(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let text = json::document(value).map_err(Error::Output)?;
        self.text(&text)
    }

    /// Writes one JSON document on one line.
    pub fn line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let text = json::line(value).map_err(Error::Output)?;
        self.text(&text)
    }
}

/// Writes one line to standard error. There is nobody to tell if that fails.
pub fn note(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[cfg(test)]
impl View {
    /// A view for tests.
    pub fn of(width: Option<usize>, colour: bool, seconds: u64) -> Self {
        Self { width, colour, now: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds) }
    }
}

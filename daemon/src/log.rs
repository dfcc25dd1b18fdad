//! The log: lines on standard error, which systemd's journal keeps with its own times and with each line's priority.
//!
//! One event is one line, whatever a caller wrote into a name: what could begin a line or move a terminal's
//! cursor is escaped here, once and for all. And one user's lines are so many and no more: every event that
//! a caller can bring about has the field `uid`, and whose allowance is spent is left out, and counted.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Metadata,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer as _,
    filter::{FilterExt as _, LevelFilter, ParseError, Targets},
    fmt::MakeWriter,
    layer::{Context, Filter, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::{audit, auth::Subids, systemd::journal};

/// Lines of one user at once after a pause: fifty containers may start and end.
const BURST: f64 = 200.0;
/// Lines of one user in a second after that.
const RATE: f64 = 10.0;
/// How often it is told what was left out.
const TELL: Duration = Duration::from_secs(10);

/// Starts logging, to the journal or not, and gives what tells of omitted lines. A subordinate uid's lines are its
/// owner's.
pub fn start(targets: Targets, subids: Arc<Subids>, to_journal: bool) -> Omitted {
    let terminal = io::stderr().is_terminal();
    let omitted = Omitted::new(subids);
    let format =
        tracing_subscriber::fmt::layer().with_writer(Standard { terminal, to_journal }).with_ansi(terminal);
    let format = if terminal { format.boxed() } else { format.without_time().boxed() };
    let filter = targets.and(omitted.clone());
    tracing_subscriber::registry().with(format.with_filter(filter)).init();
    omitted
}

/// Reads what to log. A word alone has to be a level: the parser would take it for a target, log all of that and
/// nothing else, and so silence the daemon for a slip of the pen.
///
/// # Errors
/// What cannot be read, in words.
pub fn filter(text: &str) -> Result<Targets, String> {
    for directive in text.split(',').map(str::trim) {
        if !directive.contains('=') && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{directive:?} is no level: write error, warn, info, debug, trace or off, or TARGET=LEVEL"
            ));
        }
    }
    text.parse().map_err(|error: ParseError| error.to_string())
}

/// What is said of the error that ends the program: to the journal every line has its priority.
pub fn last_line(error: &impl std::fmt::Display, to_journal: bool) -> String {
    let prefix = if to_journal { journal::prefix(tracing::Level::ERROR) } else { "" };
    format!("v6podd: {error}").lines().map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n")
}

/// Standard error, a terminal, the journal's, or neither.
struct Standard {
    terminal: bool,
    to_journal: bool,
}

impl<'a> MakeWriter<'a> for Standard {
    type Writer = Lines<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Lines { out: io::stderr(), prefix: "", coloured: self.terminal }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Self::Writer {
        let prefix = if self.to_journal { journal::prefix(*event.level()) } else { "" };
        Lines { prefix, ..self.make_writer() }
    }
}

/// Writes one event as one line.
struct Lines<W> {
    out: W,
    /// What the line begins with.
    prefix: &'static str,
    /// Escape characters are the formatter's own: it escapes those in values.
    coloured: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(octets);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = String::with_capacity(self.prefix.len() + text.len());
        escaped.push_str(self.prefix);
        for character in line.chars() {
            match character {
                ' '..='~' => escaped.push(character),
                '\u{1b}' if self.coloured => escaped.push(character),
                other => escaped.extend(other.escape_debug()),
            }
        }
        escaped.push('\n');
        self.out.write_all(escaped.as_bytes())?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How many lines each user may still cause, and how many were left out. A cheap handle.
#[derive(Clone)]
pub struct Omitted(Arc<Mutex<HashMap<u32, Lot>>>, Arc<Subids>);

struct Lot {
    left: f64,
    at: Instant,
    omitted: u64,
}

impl Lot {
    fn new(now: Instant) -> Self {
        Self { left: BURST, at: now, omitted: 0 }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + passed * RATE).min(BURST);
    }
}

impl Omitted {
    fn new(subids: Arc<Subids>) -> Self {
        Self(Arc::default(), subids)
    }

    /// Tells of what was left out, from time to time. Never returns.
    pub async fn tell(self) {
        loop {
            tokio::time::sleep(TELL).await;
            for (user, lines) in self.take(Instant::now()) {
                // Not `uid`: this line is the daemon's own.
                tracing::warn!(user, lines, "left out log lines of a user who caused too many");
            }
        }
    }

    fn allows(&self, uid: u32, now: Instant) -> bool {
        let user = self.1.charged(uid);
        let mut lots = self.lots();
        let lot = lots.entry(user).or_insert_with(|| Lot::new(now));
        lot.fill(now);
        if lot.left < 1.0 {
            lot.omitted += 1;
            return false;
        }
        lot.left -= 1.0;
        true
    }

    /// What was left out since the last time. Who has been quiet for long is forgotten.
    fn take(&self, now: Instant) -> Vec<(u32, u64)> {
        let mut lots = self.lots();
        let omitted = lots
            .iter_mut()
            .filter(|(_, lot)| lot.omitted > 0)
            .map(|(user, lot)| (*user, std::mem::take(&mut lot.omitted)))
            .collect();
        lots.retain(|_, lot| {
            lot.fill(now);
            lot.left < BURST
        });
        omitted
    }

    fn lots(&self) -> MutexGuard<'_, HashMap<u32, Lot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Filter<S> for Omitted {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        // What the rules allow is little enough, and all of it is wanted.
        if event.metadata().target() == audit::TARGET {
            return true;
        }
        let mut uid = Uid(None);
        event.record(&mut uid);
        uid.0.is_none_or(|uid| self.allows(uid, Instant::now()))
    }
}

/// An event's field `uid`.
struct Uid(Option<u32>);

impl Visit for Uid {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "uid" {
            self.0 = u32::try_from(value).ok();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn omitted() -> Omitted {
        Omitted::new(Arc::new(Subids::new("/nonexistent".as_ref())))
    }

    fn written(text: &str, coloured: bool) -> String {
        written_after("", text, coloured)
    }

    fn written_after(prefix: &'static str, text: &str, coloured: bool) -> String {
        let mut lines = Lines { out: Vec::new(), prefix, coloured };
        lines.write_all(text.as_bytes()).unwrap();
        String::from_utf8(lines.out).unwrap()
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(written("INFO a=\"b\" it's\n", false), "INFO a=\"b\" it's\n");
        assert_eq!(written("a\nINFO forged\n", false), "a\\nINFO forged\n");
        assert_eq!(written("\u{1b}[2Jx\r\u{9b}\u{202e}\u{2028}ü\0\n", false), {
            "\\u{1b}[2Jx\\r\\u{9b}\\u{202e}\\u{2028}ü\\0\n"
        });
        assert_eq!(written_after("<6>", "a\n<0>forged\n", false), "<6>a\\n<0>forged\n");
        assert_eq!(written("\u{1b}[2mdim\u{1b}[0m\r\n", true), "\u{1b}[2mdim\u{1b}[0m\\r\n");
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in
            ["info", "DEBUG", "off", "v6podd=debug", "info,v6podd::network=trace", "warn, v6podd=info"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["verbose", "info,verbose", "v6podd::network", "v6podd=verbose", "a=b=c"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
        assert!(filter("verbose").unwrap_err().contains("\"verbose\" is no level"));
    }

    #[test]
    fn one_user_cannot_fill_the_log() {
        let (omitted, start) = (omitted(), Instant::now());
        let lines = |uid, now| (0..1000).filter(|_| omitted.allows(uid, now)).count();
        assert_eq!((lines(1, start), lines(2, start)), (200, 200));
        let later = start + Duration::from_secs(1);
        assert_eq!(lines(1, later), 10);
        let mut told = omitted.take(later);
        told.sort_unstable();
        assert_eq!(told, [(1, 1790), (2, 800)]);
        assert!(omitted.take(later).is_empty());
        omitted.take(start + Duration::from_secs(3600));
        assert!(omitted.lots().is_empty());
    }

    #[test]
    fn events_without_a_uid_are_the_daemons_own() {
        let omitted = omitted();
        let lines = Arc::new(Mutex::new(0));
        struct Count(Arc<Mutex<u32>>);
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
            fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
                *self.0.lock().unwrap() += 1;
            }
        }
        let subscriber =
            tracing_subscriber::registry().with(Count(Arc::clone(&lines)).with_filter(omitted.clone()));
        tracing::subscriber::with_default(subscriber, || {
            (0..300).for_each(|_| tracing::info!(uid = 7u32, name = ?"x", "a caller's"));
            (0..300).for_each(|_| tracing::info!(user = 7u32, "ours"));
        });
        assert_eq!(*lines.lock().unwrap(), 500);
        assert_eq!(omitted.take(Instant::now()), [(7, 100)]);
    }
}

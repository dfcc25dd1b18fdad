//! The one thread that keeps the audit: it tells the journal, writes the file, and calls the roll.
//!
//! Nobody waits for it but who asks for the history. What it is told it writes at once, so that a killed
//! daemon has lost next to nothing, and syncs once a second, so that a host that lost power has not lost
//! more than that. While the file cannot be written it keeps a little, counts what it cannot keep, and
//! tries again; then the file is told what was lost, and what lasts.

use std::{
    io::{self, BufReader},
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Shared,
    file::{Log, Opened},
    history::Sight,
    life::{Life, Moment, Reason},
    line::{self, Line},
    query::Query,
    roll::Roll,
};

/// How often the file is synced, at most.
const SYNC: Duration = Duration::from_secs(1);
/// How long after a failure writing is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How many messages are taken before what they led to is written.
const BATCH: usize = 256;
/// At how many octets lines are written although there are more to come.
const MUCH: usize = 64 << 10;
/// How many octets of lines are kept while they cannot be written.
const MOST: usize = 256 << 10;

/// Gives what there is, whenever it is asked.
pub type Census = Box<dyn Fn() -> Vec<Life> + Send>;

/// What the writer is told.
pub enum Message {
    /// An attachment was made, or has changed.
    Lives(Box<Life>, Moment),
    /// An attachment has ended.
    Ended(Box<Life>, Reason, Moment),
    /// The daemon has found out what there is and what has ended since it last ran.
    Reconciled(Box<Reconciled>),
    /// Somebody asks.
    Look(Box<Query>, oneshot::Sender<Sight>),
    /// The daemon ends, and waits until all is written.
    Close(SyncSender<()>),
}

/// What was found at the daemon's start.
pub struct Reconciled {
    /// What lasts.
    pub live: Vec<Life>,
    /// What has ended.
    pub ended: Vec<(Life, Reason)>,
    /// When that was.
    pub now: Moment,
    /// Tells what lasts later on.
    pub census: Census,
}

/// The thread's own.
pub struct Writer {
    /// None: only the journal is told.
    log: Option<Log>,
    boot: String,
    roll: Roll,
    /// What an earlier run left in the file was read.
    caught_up: bool,
    census: Option<Census>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
    shared: Arc<Shared>,
    /// How many of the lost entries the file was told of.
    told: u64,
    failed: Option<Instant>,
    synced: Option<Instant>,
}

impl Writer {
    /// Keeps the audit in this log, if any.
    pub fn new(log: Option<Log>, boot: &str, shared: Arc<Shared>) -> Self {
        Self {
            log,
            boot: boot.to_owned(),
            roll: Roll::default(),
            caught_up: false,
            census: None,
            lines: Vec::new(),
            shared,
            told: 0,
            failed: None,
            synced: None,
        }
    }

    /// Works until the daemon ends.
    pub fn run(mut self, queue: &Receiver<Message>) {
        loop {
            self.work();
            let first = match self.rest(Instant::now()) {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(rest) => queue.recv_timeout(rest),
            };
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                return self.finish();
            }
            for message in first.into_iter().chain(queue.try_iter().take(BATCH)) {
                if let Message::Close(done) = message {
                    self.finish();
                    let _ = done.send(());
                    return;
                }
                self.heed(message, Moment::now());
            }
        }
    }

    /// How long nothing is to be done unless there is a message. None: for good.
    fn rest(&self, now: Instant) -> Option<Duration> {
        let log = self.log.as_ref()?;
        let due = match (self.failed, self.synced) {
            (Some(failed), _) => failed + RETRY,
            (None, Some(synced)) if log.is_dirty() => synced + SYNC,
            _ => return None,
        };
        Some(due.saturating_duration_since(now))
    }

    /// Takes note of a message.
    pub fn heed(&mut self, message: Message, now: Moment) {
        match message {
            Message::Lives(life, now) => {
                let line = self.roll.lives(*life, now);
                self.note(line);
            }
            Message::Ended(life, reason, now) => {
                let line = self.roll.ended(*life, reason, now, false);
                self.note([line]);
            }
            Message::Reconciled(found) => self.reconcile(*found),
            Message::Look(query, reply) => drop(reply.send(self.look(&query, now))),
            Message::Close(_) => {}
        }
    }

    fn reconcile(&mut self, Reconciled { live, ended, now, census }: Reconciled) {
        for (life, reason) in ended {
            let line = self.roll.ended(life, reason, now, true);
            self.note([line]);
        }
        let lines = self.roll.compare(live, now);
        self.note(lines);
        self.census = Some(census);
    }

    fn look(&self, query: &Query, now: Moment) -> Sight {
        Sight {
            open: self.roll.fitting(query, now),
            unwritten: self.lines.clone(),
            files: self.log.as_ref().map(Log::parts).unwrap_or_default(),
        }
    }

    /// Keeps lines until they are written; what there is no room for is lost.
    fn note(&mut self, lines: impl IntoIterator<Item = Line>) {
        if self.log.is_none() {
            return;
        }
        for line in lines {
            let octets = line.octets();
            if self.lines.len() >= MUCH && self.failed.is_none() {
                self.write();
            }
            if self.lines.len() + octets.len() > MOST {
                self.shared.lose();
            } else {
                self.lines.extend(octets);
            }
        }
    }

    /// Writes and syncs what is due.
    pub fn work(&mut self) {
        if self.log.is_none() || self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
            return;
        }
        self.write();
        if self.failed.is_none() {
            self.tell_losses();
        }
        let is_due = self.synced.is_none_or(|synced| synced.elapsed() >= SYNC);
        if self.failed.is_none() && is_due && self.log.as_ref().is_some_and(Log::is_dirty) {
            self.sync();
        }
    }

    /// Writes and syncs everything.
    fn finish(&mut self) {
        self.write();
        self.sync();
    }

    fn write(&mut self) {
        if self.lines.is_empty() && self.caught_up {
            return self.judge(Ok(()));
        }
        let outcome = self.try_write();
        if let Some(log) = &mut self.log {
            log.close();
        }
        self.judge(outcome);
    }

    fn try_write(&mut self) -> io::Result<()> {
        self.open_file()?;
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.is_full() {
            log.begin(&head(&self.boot, &self.roll, Moment::now()))?;
        }
        log.write(&mut self.lines)
    }

    /// Opens the file, or begins one.
    fn open_file(&mut self) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let opened = log.open()?;
        if opened == Opened::Same && self.caught_up {
            return Ok(());
        }
        let now = Moment::now();
        let left = match log.parts().into_iter().next().filter(|_| !self.caught_up) {
            Some(newest) => Roll::read(BufReader::with_capacity(64 << 10, newest), &self.boot)?,
            None => Roll::default(),
        };
        let ended = self.roll.catch_up(left, self.census.is_some(), now);
        if opened == Opened::Nothing {
            log.begin(&head(&self.boot, &self.roll, now))?;
        } else {
            // Before what is to be written, which is of this boot. Of a file that somebody put there while
            // we run nothing is known.
            let known = if self.caught_up { &self.roll } else { &Roll::default() };
            self.lines.splice(0..0, head(&self.boot, known, now));
        }
        self.caught_up = true;
        self.lines.extend(ended.iter().flat_map(Line::octets));
        Ok(())
    }

    /// Tells the file that it lacks something, and what lasts.
    fn tell_losses(&mut self) {
        let lost = self.shared.lost.load(Relaxed);
        let count = lost - self.told;
        if count == 0 {
            return;
        }
        tracing::error!(count, "entries of the audit were lost; attachments went on");
        self.told = lost;
        let now = Moment::now();
        self.note([Line::Lost { time: now.wall, count }]);
        if let Some(live) = self.census.as_ref().map(|census| census()) {
            let lines = self.roll.compare(live, now);
            self.note(lines);
        }
        let lines: Vec<_> = self.roll.lines(now.wall).collect();
        self.note(lines);
        self.write();
    }

    fn sync(&mut self) {
        let outcome = self.log.as_mut().map_or(Ok(()), Log::sync);
        self.synced = Some(Instant::now());
        self.judge(outcome);
    }

    /// Takes note of whether the file can be written.
    fn judge(&mut self, outcome: io::Result<()>) {
        let directory =
            self.log.as_ref().map(|log| log.directory().display().to_string()).unwrap_or_default();
        match outcome {
            Ok(()) if self.failed.take().is_some() => {
                tracing::info!(directory, "the audit can be written again");
                self.shared.set_error(None);
            }
            Ok(()) => {}
            Err(error) => {
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(directory, %error, "the audit cannot be written; attachments go on");
                }
                self.shared.set_error(Some(format!("{directory}: {error}")));
            }
        }
    }
}

/// What a new file begins with: so it can be read without the ones before it.
fn head(boot: &str, roll: &Roll, now: Moment) -> Vec<u8> {
    let lines = std::iter::once(line::daemon(now, boot)).chain(roll.lines(now.wall));
    lines.flat_map(|line| line.octets()).collect()
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

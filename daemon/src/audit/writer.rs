//! The one thread that keeps the audit: it tells the journal, writes the file, and knows what lasts.
//!
//! Nobody waits for it but who asks for the history. What it is told it writes at once, so that a killed
//! daemon has lost next to nothing, and syncs once a second, so that a host that lost power has not lost
//! more than that. While the file cannot be written it keeps a little, counts what it cannot keep, and
//! tries again; then the file is told what was lost, and what lasts.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufReader},
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::oneshot;

use super::{
    Shared,
    file::Log,
    history::{Sight, next},
    journal,
    life::{End, Life, Moment, Reason},
    line::{self, Entry, Line},
    query::Query,
};
use crate::model::AttachmentId;

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

/// What lasts.
struct Open {
    life: Life,
    /// How long the host had been up at its start.
    up: Option<Duration>,
    /// It was seen in an earlier boot, and not yet in this one.
    of_another_boot: bool,
}

/// The thread's own.
pub struct Writer {
    /// None: only the journal is told.
    log: Option<Log>,
    boot: String,
    open: HashMap<AttachmentId, Open>,
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
            open: HashMap::new(),
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
            Message::Lives(life, now) => self.lives(*life, now),
            Message::Ended(life, reason, now) => self.ended(*life, reason, now, false),
            Message::Reconciled(found) => self.reconcile(*found),
            Message::Look(query, reply) => drop(reply.send(self.look(&query, now))),
            Message::Close(_) => {}
        }
    }

    fn lives(&mut self, life: Life, now: Moment) {
        let known = self.open.get(&life.id).map(|open| (&open.life, open.up));
        let (line, up): (fn(Entry) -> Line, _) = match known {
            // What came back of its own after a loss is no news.
            Some((known, _)) if *known == life => return,
            Some((_, up)) => {
                journal::changed(&life);
                (Line::Change, up)
            }
            None => {
                journal::started(&life);
                (Line::Start, Some(now.up_at(life.start)))
            }
        };
        let time = if known.is_some() { now.wall } else { life.start };
        self.note(&line(Entry::of(&life, time, up)));
        self.open.insert(life.id, Open { life, up, of_another_boot: false });
    }

    fn ended(&mut self, mut life: Life, reason: Reason, now: Moment, approximate: bool) {
        let known = self.open.remove(&life.id);
        let up = known.and_then(|open| open.up.filter(|_| !open.of_another_boot));
        life.clock_stepped = up.map_or(0, |up| now.stepped_since(life.start, up));
        self.end(life, End { time: now.wall, reason, approximate }, now.wall);
    }

    fn end(&mut self, life: Life, end: End, now: SystemTime) {
        journal::ended(&life, end);
        self.note(&Line::End(Entry::of(&Life { end: Some(end), ..life }, now, None)));
    }

    fn reconcile(&mut self, found: Reconciled) {
        for (life, reason) in found.ended {
            self.ended(life, reason, found.now, true);
        }
        self.compare(found.live, found.now);
        self.census = Some(found.census);
    }

    /// Brings what is taken to last in line with what does.
    fn compare(&mut self, live: Vec<Life>, now: Moment) {
        let ids: HashSet<_> = live.iter().map(|life| life.id).collect();
        let gone: Vec<_> = self.open.keys().filter(|id| !ids.contains(id)).copied().collect();
        for open in gone.into_iter().filter_map(|id| self.open.remove(&id)).collect::<Vec<_>>() {
            self.miss(open, now);
        }
        for life in live {
            let known = self.open.get_mut(&life.id);
            if known.is_some_and(|open| open.life == life) {
                continue;
            }
            let up = self.open.get(&life.id).and_then(|open| open.up);
            self.note(&Line::Alive(Entry::of(&life, now.wall, up)));
            self.open.insert(life.id, Open { life, up, of_another_boot: false });
        }
    }

    /// What lasted is gone, and nobody saw it go.
    fn miss(&mut self, open: Open, now: Moment) {
        let Open { mut life, up, of_another_boot } = open;
        let (time, reason) = if of_another_boot {
            // Before the start of the host, if the clock can be trusted so far.
            let boot = now.boot();
            (if boot < life.start { now.wall } else { boot }, Reason::Reboot)
        } else {
            life.clock_stepped = up.map_or(0, |up| now.stepped_since(life.start, up));
            (now.wall, Reason::Gone)
        };
        self.end(life, End { time, reason, approximate: true }, now.wall);
    }

    fn look(&self, query: &Query, now: Moment) -> Sight {
        let fits = |open: &Open| {
            let step = |up| now.stepped_since(open.life.start, up);
            let clock_stepped = open.up.filter(|_| !open.of_another_boot).map_or(0, step);
            let life = Life { clock_stepped, ..open.life.clone() };
            query.fits(&life).then_some(life)
        };
        Sight {
            open: self.open.values().filter_map(fits).collect(),
            unwritten: self.lines.clone(),
            files: self.log.as_ref().map(Log::parts).unwrap_or_default(),
        }
    }

    /// Keeps a line until it is written; one that there is no room for is lost.
    fn note(&mut self, line: &Line) {
        if self.log.is_none() {
            return;
        }
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
        let outcome = self.try_write();
        self.judge(outcome);
    }

    fn try_write(&mut self) -> io::Result<()> {
        self.open_file()?;
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.is_full() {
            let head = head(&self.boot, &self.open, Moment::now());
            log.begin(&head)?;
        }
        log.write(&mut self.lines)
    }

    /// Opens or begins the file, if it is not open or has gone.
    fn open_file(&mut self) -> io::Result<()> {
        let Some(log) = self.log.as_mut().filter(|log| !log.is_there()) else { return Ok(()) };
        let exists = log.open()?;
        let now = Moment::now();
        let left = if self.caught_up { HashMap::new() } else { read(log, &self.boot)? };
        if exists {
            // Before what is to be written, which is of this boot.
            self.lines.splice(0..0, line::daemon(now, &self.boot).octets());
        }
        self.catch_up(left, now);
        if !exists && let Some(log) = &mut self.log {
            log.begin(&head(&self.boot, &self.open, now))?;
        }
        self.caught_up = true;
        Ok(())
    }

    /// Takes over what lasted according to the file. If it is known by now what lasts, the rest has ended.
    fn catch_up(&mut self, left: HashMap<AttachmentId, Open>, now: Moment) {
        for (id, open) in left {
            match self.open.get_mut(&id) {
                Some(known) => known.up = known.up.or(open.up),
                None if self.census.is_some() => self.miss(open, now),
                None => drop(self.open.insert(id, open)),
            }
        }
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
        self.note(&Line::Lost { time: now.wall, count });
        if let Some(live) = self.census.as_ref().map(|census| census()) {
            self.compare(live, now);
        }
        let entries: Vec<_> =
            self.open.values().map(|open| Line::Alive(Entry::of(&open.life, now.wall, open.up))).collect();
        entries.iter().for_each(|line| self.note(line));
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
fn head(boot: &str, open: &HashMap<AttachmentId, Open>, now: Moment) -> Vec<u8> {
    let mut head = line::daemon(now, boot).octets();
    for Open { life, up, .. } in open.values() {
        head.extend(Line::Alive(Entry::of(life, now.wall, *up)).octets());
    }
    head
}

/// What lasts according to the newest file.
fn read(log: &Log, boot: &str) -> io::Result<HashMap<AttachmentId, Open>> {
    let mut open = HashMap::new();
    let Some(file) = log.parts().into_iter().next() else { return Ok(open) };
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let mut of_another_boot = true;
    while let Some(line) = next(&mut lines)? {
        match Line::read(&line) {
            Some(Line::Daemon { boot: found, .. }) => of_another_boot = found != boot,
            Some(Line::Start(entry) | Line::Change(entry) | Line::Alive(entry)) => {
                let up = entry.up();
                let life = Life::from(entry);
                open.insert(life.id, Open { life, up, of_another_boot });
            }
            Some(Line::End(entry)) => drop(open.remove(&Life::from(entry).id)),
            Some(Line::Lost { .. }) | None => {}
        }
    }
    Ok(open)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

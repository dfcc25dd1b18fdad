//! The audit: who had which address when, in the journal and in a file that `v6pod history` searches.
//!
//! # Theory of operation
//! Like a registry, the audit follows committed attachments and never delays or fails one. The service tells
//! it of each start and end; that goes into a bounded queue and returns. One thread ([`writer`]) tells the
//! [`journal`] and appends a [line](mod@line) to the [file](mod@file). If the disk is full or hangs, entries that find no
//! room are lost; they are counted, logged, told in `Status`, and the file says where it lacks some.
//!
//! An end that the daemon could not see, because it had been killed or the host restarted, is written by the
//! next start with the time at which it was found out, or at which the host was started, and is marked as
//! approximate: at that time or before. For that the newest file is read once at the start; each file begins
//! with all that lasts, so one is enough.
//!
//! [`history`] answers questions from the file, by a linear search of bounded cost that users pay one at a
//! time. Nobody sees another user's entries but administrators.

mod config;
mod file;
mod history;
mod journal;
mod life;
mod line;
mod query;
mod roll;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub use self::{
    config::Config,
    history::History,
    journal::TARGET,
    life::{End, Life, Reason},
    query::{Query, Viewer},
};
use self::{
    file::Log,
    history::{Gate, Sight, search},
    life::Moment,
    writer::{Message, Reconciled, Writer},
};
use crate::model::{Attachment, Invalid};

/// How many messages may wait for the thread. A thousand attaches a second make half as many.
const QUEUE: usize = 4096;
/// How long a question may wait for the thread, which may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// A thread's stack in octets.
const STACK: usize = 256 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name or a container's id is malformed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The address is none.
    #[error("{0:?} is neither an IPv6 address nor a prefix")]
    NotAnAddress(String),
    /// Too little of a container's id.
    #[error("{0:?} is too little of a container's id: give 4 or more characters")]
    TooShort(crate::model::ContainerId),
    /// A time is out of range.
    #[error("from and until have to be times between the years 1 and 9999")]
    NotATime,
    /// The end of the time is before its start.
    #[error("until is before from")]
    Backwards,
    /// Too long an answer.
    #[error("{asked} entries are more than one answer may have: ask for at most {most}")]
    TooMany {
        /// What was asked for.
        asked: u32,
        /// The most.
        most: u32,
    },
    /// The thread does not get at it.
    #[error("the audit is busy, or its disk is: try again in a moment")]
    Busy,
    /// A file cannot be read.
    #[error("reading the audit: {0}")]
    Read(#[from] io::Error),
}

/// How the audit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether there is a file.
    pub file: bool,
    /// Why the file cannot be written.
    pub error: Option<String>,
    /// How many entries were lost since the daemon was started.
    pub lost: u64,
}

/// What the thread and the others both see.
#[derive(Default)]
struct Shared {
    lost: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Shared {
    fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    fn set_error(&self, error: Option<String>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// The audit. Its thread ends with it.
pub struct Audit {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    gate: Gate,
    file: bool,
}

impl Audit {
    /// Starts it: with files in `directory` unless the configuration says otherwise. `boot` tells one boot
    /// from another. A file that cannot be written is no failure.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(config: &Config, directory: PathBuf, boot: &str) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let log = config.file.then(|| Log::new(directory, config));
        let writer = Writer::new(log, boot.trim(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("audit".to_owned()).stack_size(STACK);
        thread.spawn(move || writer.run(&messages))?;
        Ok(Self { queue, shared, gate: Gate::default(), file: config.file })
    }

    /// An attachment was committed, or its name or container became known.
    pub fn lives(&self, attachment: &Attachment) {
        self.send(Message::Lives(Box::new(Life::of(attachment)), Moment::now()));
    }

    /// An attachment has ended just now.
    pub fn ended(&self, attachment: &Attachment, reason: Reason) {
        self.send(Message::Ended(Box::new(Life::of(attachment)), reason, Moment::now()));
    }

    /// The daemon was started, and this is what it found: what lasts and what has ended. `census` tells what
    /// lasts later on.
    pub fn reconciled(
        &self,
        live: &[Attachment],
        ended: &[(Attachment, Reason)],
        census: impl Fn() -> Vec<Attachment> + Send + 'static,
    ) {
        self.send(Message::Reconciled(Box::new(Reconciled {
            live: live.iter().map(Life::of).collect(),
            ended: ended.iter().map(|(attachment, reason)| (Life::of(attachment), *reason)).collect(),
            now: Moment::now(),
            census: Box::new(move || census().iter().map(Life::of).collect()),
        })));
    }

    fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.shared.lose();
        }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let error = self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status { file: self.file, error, lost: self.shared.lost.load(Relaxed) }
    }

    /// Answers a question, on a thread of its own, when it is the asker's turn.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Read`].
    pub async fn history(&self, query: Query) -> Result<History, Error> {
        let pass = self.gate.enter(query.viewer().payer()).await.ok_or(Error::Busy)?;
        let sight = self.look(&query).await?;
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let found = search(&query, sight, || !answer.is_closed());
            drop(pass);
            let _ = answer.send(found);
        };
        let thread = thread::Builder::new().name("history".to_owned()).stack_size(STACK);
        thread.spawn(work)?;
        answered.await.ok().transpose()?.flatten().ok_or(Error::Busy)
    }

    async fn look(&self, query: &Query) -> Result<Sight, Error> {
        let (reply, sight) = oneshot::channel();
        self.queue.try_send(Message::Look(Box::new(query.clone()), reply)).map_err(|_| Error::Busy)?;
        tokio::time::timeout(PATIENCE, sight).await.ok().and_then(Result::ok).ok_or(Error::Busy)
    }

    /// Writes and syncs everything, and ends; false: that took longer than `limit`.
    pub fn close(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (done, closed) = sync_channel(1);
        let mut message = Message::Close(done);
        while let Err(error) = self.queue.try_send(message) {
            match error {
                TrySendError::Full(back) if Instant::now() < deadline => message = back,
                _ => return false,
            }
            thread::sleep(Duration::from_millis(10));
        }
        closed.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
    }
}

#[cfg(test)]
mod tests;

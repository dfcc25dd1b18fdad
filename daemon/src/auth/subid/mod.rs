//! Whose user a subordinate uid is: subuid(5).
//!
//! Whoever has a range there can be each of its uids, with one `unshare --map-auto`. What is limited per user
//! is therefore charged to the owner of the range; who owns an attachment, and so sees it, remains the uid
//! that the kernel gave. The file is read again when it has changed, which is looked at once a second.
//!
//! # Theory of operation
//! The file names most owners, and whoever knows their uids may be a directory service that hangs. So the
//! file is read, and names are asked, on threads apart, and only those names that somebody's uid leads to.
//! Nobody waits for that who cannot: [`Subids::charged`] answers at once, with the first uid of a range
//! whose owner is not known yet, so that all of the range is one user whatever happens. What a quota is to
//! hold against waits for the truth, in [`Subids::owner`].

mod names;
mod ranges;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use self::{
    names::{Answer, Names},
    ranges::{Owner, Ranges},
};

/// Where it is.
pub const SUBUID: &str = "/etc/subuid";
/// How long what was read is believed without a look at the file.
const BELIEVED: Duration = Duration::from_secs(1);
/// Names asked at once; the others wait.
const ASKERS: usize = 4;

/// Asks the user database for a name's uid. It may take as long as it likes.
type Ask = Box<dyn Fn(&str) -> io::Result<Option<u32>> + Send + Sync>;

/// The subordinate uids there are, and whose.
pub struct Subids {
    path: PathBuf,
    ask: Ask,
    state: Mutex<State>,
    /// Something was read or answered.
    news: Notify,
}

struct State {
    ranges: Ranges,
    stamp: Option<Stamp>,
    looked: Instant,
    /// A thread is looking at the file.
    is_looking: bool,
    names: Names,
    /// Threads that ask for names.
    askers: usize,
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { inode: found.ino(), size: found.size(), changed: (found.mtime(), found.mtime_nsec()) })
    }
}

impl Subids {
    /// Reads `path`. A file that is not there is an empty one.
    pub fn new(path: &Path) -> Self {
        Self::with(path, super::users::find_uid)
    }

    fn with(path: &Path, ask: impl Fn(&str) -> io::Result<Option<u32>> + Send + Sync + 'static) -> Self {
        let state = State {
            ranges: Ranges::default(),
            stamp: None,
            looked: Instant::now(),
            is_looking: false,
            names: Names::default(),
            askers: 0,
        };
        let (ask, state) = (Box::new(ask), Mutex::new(state));
        let subids = Self { path: path.to_owned(), ask, state, news: Notify::new() };
        subids.read(Stamp::of(path));
        subids
    }

    /// The user whom `uid` is charged to, as far as that is known now: the owner of the range that it lies
    /// in, or the range's first uid; or itself. It waits for nothing.
    pub fn charged(self: &Arc<Self>, uid: u32) -> u32 {
        let mut state = self.state();
        self.keep_up(&mut state);
        match state.ranges.owner(uid).cloned() {
            None => uid,
            Some(Owner::Uid(owner)) => owner,
            Some(Owner::Named { name, first }) => match self.answer(&mut state, &name) {
                Some(Answer::Uid(owner)) => owner,
                _ => first,
            },
        }
    }

    /// The user whom `uid` is charged to: the owner of the range that it lies in, or itself. A range whose
    /// owner nobody knows is its own first uid's. It may take as long as a directory service does.
    ///
    /// # Errors
    /// The user database cannot be asked for the owner's name.
    pub async fn owner(self: &Arc<Self>, uid: u32) -> io::Result<u32> {
        loop {
            let mut news = pin!(self.news.notified());
            // What comes from here on wakes us.
            news.as_mut().enable();
            if let Some(known) = self.known(uid) {
                return known;
            }
            news.await;
        }
    }

    /// None: it will be known, and told as news.
    fn known(self: &Arc<Self>, uid: u32) -> Option<io::Result<u32>> {
        let mut state = self.state();
        self.keep_up(&mut state);
        if state.is_looking {
            return None;
        }
        match state.ranges.owner(uid).cloned() {
            None => Some(Ok(uid)),
            Some(Owner::Uid(owner)) => Some(Ok(owner)),
            Some(Owner::Named { name, first }) => Some(match self.answer(&mut state, &name)? {
                Answer::Uid(owner) => Ok(owner),
                Answer::Nobody => Ok(first),
                Answer::Failed => {
                    let range =
                        format!("whose the range of {} that begins at {first} is", self.path.display());
                    Err(io::Error::other(format!("it does not tell {range}")))
                }
            }),
        }
    }

    /// Reads it again, names and all, whether or not it has changed.
    pub fn read_again(&self) {
        self.state().names.forget();
        self.read(Stamp::of(&self.path));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has somebody look at the file if nobody did lately.
    fn keep_up(self: &Arc<Self>, state: &mut State) {
        if state.is_looking || state.looked.elapsed() < BELIEVED {
            return;
        }
        let this = Arc::clone(self);
        state.is_looking = start(move || this.look());
        // Without a thread, what was known has to do for a moment.
        state.looked = Instant::now();
    }

    fn look(&self) {
        let stamp = Stamp::of(&self.path);
        let former = self.state().stamp;
        if stamp != former {
            self.read(stamp);
        }
        let mut state = self.state();
        (state.is_looking, state.looked) = (false, Instant::now());
        drop(state);
        self.news.notify_waiters();
    }

    /// Reads the file, which looked like this just before.
    fn read(&self, stamp: Option<Stamp>) {
        let ranges = match fs::read(&self.path) {
            Ok(text) => Some(Ranges::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Ranges::default()),
            // What was known is better than nothing.
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "reading the subordinate uids");
                None
            }
        };
        let mut state = self.state();
        state.stamp = stamp;
        if let Some(ranges) = ranges {
            state.ranges = ranges;
        }
    }

    /// What is known of a name. If that is nothing, it is being asked from here on.
    fn answer(self: &Arc<Self>, state: &mut State, name: &Arc<str>) -> Option<Answer> {
        let answer = state.names.answer(name, Instant::now());
        if state.names.is_any_waiting() && state.askers < ASKERS {
            let this = Arc::clone(self);
            if start(move || this.ask_for_names()) {
                state.askers += 1;
            } else if state.askers == 0 {
                while let Some(name) = state.names.next() {
                    state.names.note(name, Answer::Failed, Instant::now());
                }
            }
        }
        answer
    }

    fn ask_for_names(&self) {
        loop {
            let mut state = self.state();
            let Some(name) = state.names.next() else {
                state.askers -= 1;
                return;
            };
            drop(state);
            let answer = (self.ask)(&name);
            if let Err(error) = &answer {
                tracing::warn!(owner = ?name, %error, "asking the user database for an owner of subordinate uids");
            }
            self.state().names.note(name, answer.into(), Instant::now());
            self.news.notify_waiters();
        }
    }
}

/// Whether there was a thread to be had for it.
fn start(work: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name("subids".to_owned()).spawn(work).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("subuid");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let (_folder, path) = written("");
        let subids = Arc::new(Subids::new(&path));
        assert_eq!(subids.charged(100_000), 100_000);
        fs::write(&path, "7:100000:10\n").unwrap();
        subids.read_again();
        assert_eq!((subids.charged(100_000), subids.charged(100_010)), (7, 100_010));
        fs::write(&path, "8:100000:100\n").unwrap();
        let start = Instant::now();
        while subids.charged(100_000) != 8 {
            assert!(start.elapsed() < BELIEVED * 10, "the file is not looked at");
            thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        while subids.charged(100_000) != 100_000 {
            assert!(start.elapsed() < BELIEVED * 20, "the file is not looked at");
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn who_has_to_know_sees_a_change_at_once() {
        let (_folder, path) = written("");
        let subids = Arc::new(Subids::new(&path));
        assert_eq!(subids.owner(100_000).await.unwrap(), 100_000);
        fs::write(&path, "7:100000:10\n").unwrap();
        subids.state().looked = Instant::now().checked_sub(BELIEVED).unwrap();
        assert_eq!(subids.owner(100_000).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_directory_that_hangs_keeps_nobody_else_waiting() {
        let (_folder, path) = written("alice:100000:65536\n4711:200000:1\n");
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let subids = Arc::new(Subids::with(&path, move |name| {
            let _ = released.lock().unwrap().recv();
            Ok((name == "alice").then_some(1001))
        }));
        // All of the range is one user meanwhile.
        assert_eq!((subids.charged(100_007), subids.charged(165_535)), (100_000, 100_000));
        assert!(subids.owner(100_007).now_or_never().is_none());
        assert_eq!(subids.owner(1002).now_or_never().unwrap().unwrap(), 1002);
        assert_eq!(subids.owner(200_000).now_or_never().unwrap().unwrap(), 4711);
        release.send(()).unwrap();
        assert_eq!(subids.owner(100_007).await.unwrap(), 1001);
        assert_eq!(subids.charged(165_535), 1001);
        drop(release);
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_asked_gives_nobody_a_second_quota() {
        let (_folder, path) = written("alice:100000:65536\nghost:300000:5\n");
        let (results, answers) = mpsc::channel();
        let answers = Mutex::new(answers);
        let subids = Arc::new(Subids::with(&path, move |_| answers.lock().unwrap().recv().unwrap()));
        results.send(Err(io::Error::other("out of order"))).unwrap();
        assert!(subids.owner(100_007).await.unwrap_err().to_string().contains("begins at 100000"));
        // Asked again after a while, and not before.
        assert!(subids.owner(100_007).now_or_never().unwrap().is_err());
        results.send(Ok(Some(1001))).unwrap();
        subids.read_again();
        assert_eq!(subids.owner(100_007).await.unwrap(), 1001);
        results.send(Ok(None)).unwrap();
        assert_eq!(subids.owner(300_004).await.unwrap(), 300_000);
    }
}

//! Searching: first what lasts, then the files' ends, from the last one back, until there are enough.
//!
//! Runs on a thread of its own, with less priority than whoever attaches. What it holds at a time is one
//! line and the answer. [`Gate`] says who may search when.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    sync::{Arc, Mutex, Once, PoisonError},
    time::SystemTime,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    life::Life,
    line::{END, Line},
    query::{Payer, Query},
};

/// Searches at once, whoever searches.
const SEARCHES: usize = 2;
/// No line of ours is as long.
const LONGEST: u64 = 4096;
/// After how many lines a look is taken whether somebody still waits.
const BREATH: usize = 1024;
/// How much a search gives way to others: nice(2).
const NICE: i32 = 10;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct History {
    /// What lasts, the latest start first; then what has ended, the latest end first.
    pub lives: Vec<Life>,
    /// There was more than was asked for.
    pub more: bool,
    /// Of what ended before this nothing is known any more. None: nothing is kept.
    pub since: Option<SystemTime>,
}

/// Where the answer to a question is, at one moment.
#[derive(Debug, Default)]
pub struct Sight {
    /// What fits and lasts.
    pub open: Vec<Life>,
    /// Lines that could not be written yet.
    pub unwritten: Vec<u8>,
    /// The files, newest first.
    pub files: Vec<File>,
}

/// Searches, as long as somebody waits for it. None: nobody does any more.
///
/// # Errors
/// A file cannot be read.
pub fn search(query: &Query, sight: Sight, is_awaited: impl Fn() -> bool) -> io::Result<Option<History>> {
    give_way();
    // One more than is asked for tells whether there is more.
    let enough = query.limit + 1;
    let mut lives = sight.open;
    lives.sort_by_key(|life| std::cmp::Reverse((life.start, life.id)));
    lives.truncate(enough);
    lives.extend(last(query, enough - lives.len(), &sight.unwritten[..], &is_awaited)?);
    let mut since = None;
    for file in &sight.files {
        if !is_awaited() {
            return Ok(None);
        }
        // What is written from now on is not part of the answer.
        let octets = file.metadata()?.len();
        let mut lines = BufReader::with_capacity(64 << 10, file.take(octets));
        if let Some(line) = Line::read(&next(&mut lines)?.unwrap_or_default()) {
            since = Some(line.time());
        }
        if lives.len() < enough {
            lives.extend(last(query, enough - lives.len(), lines, &is_awaited)?);
        }
    }
    // An end that was only guessed may have been seen after all, later: the first here is the better one.
    let mut seen = HashSet::new();
    lives.retain(|life| seen.insert(life.id));
    let more = lives.len() > query.limit;
    lives.truncate(query.limit);
    Ok(is_awaited().then_some(History { lives, more, since }))
}

/// Whoever attaches comes first, if this is allowed; it is said if it is not.
fn give_way() {
    static TOLD: Once = Once::new();
    if let Err(error) = rustix::process::nice(NICE) {
        TOLD.call_once(|| tracing::warn!(%error, "searching the audit does not give way to attaching"));
    }
}

/// The last so many ends that fit, the last one first.
fn last(
    query: &Query,
    count: usize,
    mut lines: impl BufRead,
    is_awaited: impl Fn() -> bool,
) -> io::Result<impl Iterator<Item = Life>> {
    let mut found = VecDeque::new();
    let mut read = 0;
    while let Some(line) = next(&mut lines)? {
        read += 1;
        if read % BREATH == 0 && !is_awaited() {
            break;
        }
        let Some(life) = end(&line).filter(|life| query.fits(life)) else { continue };
        found.push_back(life);
        if found.len() > count {
            found.pop_front();
        }
    }
    Ok(found.into_iter().rev())
}

/// The life whose end a line tells.
fn end(line: &[u8]) -> Option<Life> {
    if !line.starts_with(END) {
        return None;
    }
    match Line::read(line)? {
        Line::End(entry) => Some(entry.into()),
        _ => None,
    }
}

/// The next line; of one that is too long to be ours, a part. None: there are no more.
pub fn next(lines: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = lines.take(LONGEST).read_until(b'\n', &mut line)?;
    Ok((read > 0).then_some(line))
}

/// Lets searches in: one at a time of each user, and [`SEARCHES`] in all. The others wait.
pub struct Gate {
    all: Arc<Semaphore>,
    users: Mutex<HashMap<Payer, Arc<Semaphore>>>,
}

/// A search that was let in, until it is dropped.
pub struct Pass {
    _all: OwnedSemaphorePermit,
    _user: OwnedSemaphorePermit,
}

impl Default for Gate {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(SEARCHES)), users: Mutex::default() }
    }
}

impl Gate {
    /// Waits until this user may search. None: never again.
    pub async fn enter(&self, payer: Payer) -> Option<Pass> {
        let user = {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            // Who has no search running or waiting is forgotten.
            users.retain(|_, searches| Arc::strong_count(searches) > 1);
            Arc::clone(users.entry(payer).or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let user = user.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Pass { _all: all, _user: user })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        io::{Seek as _, Write as _},
    };

    use super::{
        super::{
            life::{
                End, Reason,
                tests::{at, life},
            },
            line::Entry,
            query::tests::{ALICE, ROOT, query},
        },
        *,
    };

    fn ended(number: u16, uid: u32, end: u64) -> Vec<u8> {
        Line::End(Entry::of(&life(number, uid, end - 10, Some(end)), at(0), None)).octets()
    }

    fn file(head: u64, lines: &[Vec<u8>]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&Line::Lost { time: at(head), count: 1 }.octets()).unwrap();
        lines.iter().for_each(|line| file.write_all(line).unwrap());
        file.rewind().unwrap();
        file
    }

    fn numbers(history: &History) -> Vec<u64> {
        let number = |life: &Life| u64::from_str_radix(&life.id.to_string(), 16).unwrap();
        history.lives.iter().map(number).collect()
    }

    /// Five that ended, in two files and one line that is not written, and two that last.
    fn sight() -> Sight {
        let old = file(5, &[ended(1, 1001, 100), ended(2, 1002, 110)]);
        let new = file(150, &[ended(3, 1001, 200), ended(4, 1001, 190)]);
        let open = vec![life(6, 1001, 250, None), life(7, 1001, 260, None)];
        Sight { open, unwritten: ended(5, 1001, 300), files: vec![new, old] }
    }

    fn limited(limit: usize) -> Query {
        let mut query = query(None, ROOT);
        query.limit = limit;
        query
    }

    #[test]
    fn the_newest_come_first() {
        let found = search(&limited(100), sight(), || true).unwrap().unwrap();
        assert_eq!(numbers(&found), [7, 6, 5, 4, 3, 2, 1]);
        assert_eq!((found.more, found.since), (false, Some(at(5))));
        let own = search(&query(None, ALICE), sight(), || true).unwrap().unwrap();
        assert_eq!(numbers(&own), [7, 6, 5, 4, 3, 1]);
    }

    #[test]
    fn there_is_no_more_than_was_asked_for() {
        for limit in 1..10 {
            let found = search(&limited(limit), sight(), || true).unwrap().unwrap();
            assert_eq!(numbers(&found), [7, 6, 5, 4, 3, 2, 1][..limit.min(7)], "{limit}");
            assert_eq!((found.more, found.since), (limit < 7, Some(at(5))), "{limit}");
        }
    }

    #[test]
    fn of_two_ends_the_one_that_was_seen_counts() {
        let guessed = End { time: at(150), reason: Reason::Gone, approximate: true };
        let guessed = Life { end: Some(guessed), ..life(1, 1001, 90, None) };
        let guessed = Line::End(Entry::of(&guessed, at(0), None)).octets();
        let files = vec![file(5, &[guessed, ended(1, 1001, 100)])];
        let found = search(&limited(5), Sight { files, ..Sight::default() }, || true).unwrap().unwrap();
        assert_eq!(found.lives, [life(1, 1001, 90, Some(100))]);
    }

    #[test]
    fn torn_strange_and_endless_lines_are_passed_over() {
        let torn = ended(9, 1001, 120)[..40].to_vec();
        let lines = [
            vec![0xff; 100_000],
            b"\n\n\0\n{\"event\":\"end\",\"time\":3}\n".to_vec(),
            ended(1, 1001, 100),
            torn.clone(),
            b"\n".to_vec(),
            ended(2, 1001, 110),
            torn,
        ];
        let files = vec![file(5, &lines)];
        let found = search(&limited(5), Sight { files, ..Sight::default() }, || true).unwrap().unwrap();
        assert_eq!(numbers(&found), [2, 1]);
    }

    #[test]
    fn nobody_searches_for_nobody() {
        let looks = Cell::new(0);
        let lines: Vec<_> = (1..5000).map(|number| ended(number, 1001, 100)).collect();
        let sight = Sight { files: vec![file(5, &lines)], ..Sight::default() };
        let is_awaited = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        assert_eq!(search(&limited(5), sight, is_awaited).unwrap(), None);
        assert!(looks.get() < 6, "{}", looks.get());
    }

    #[tokio::test]
    async fn a_user_searches_once_at_a_time_and_few_at_once() {
        use futures_util::FutureExt as _;
        let gate = Gate::default();
        let enter = |account| gate.enter(Payer::Account(account)).now_or_never().flatten();
        let alice = enter(1).expect("nobody else searches");
        assert!(enter(1).is_none());
        let bob = enter(2).expect("room for one more");
        assert!(enter(3).is_none());
        drop(alice);
        let again = enter(1).expect("the first has ended");
        drop((bob, again));
        let _carol = enter(3).expect("room again");
        assert_eq!(gate.users.lock().unwrap().len(), 1, "who is done is forgotten");
    }
}

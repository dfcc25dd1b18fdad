//! Whose user a subordinate uid is: subuid(5).
//!
//! Whoever has a range there can be each of its uids, with one `unshare --map-auto`. What is limited per user
//! is therefore charged to the owner of the range; who owns an attachment, and so sees it, remains the uid
//! that the kernel gave. The file is read again when it has changed, which is looked at once a second.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where it is.
pub const SUBUID: &str = "/etc/subuid";
/// How long what was read is believed without a look at the file.
const BELIEVED: Duration = Duration::from_secs(1);
/// Lines beyond this are not read, so that no file however long can stop the daemon.
const MOST: usize = 100_000;

/// The subordinate uids there are, and whose.
#[derive(Debug)]
pub struct Subids {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ranges: Ranges,
    /// The uids of the names that were met; a directory service is asked once for each.
    known: HashMap<String, Option<u32>>,
    stamp: Option<Stamp>,
    looked: Option<Instant>,
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Subids {
    /// Reads `path`. A file that is not there is an empty one.
    pub fn new(path: &Path) -> Self {
        let subids = Self { path: path.to_owned(), state: Mutex::default() };
        subids.charged(0);
        subids
    }

    /// The user whom `uid` is charged to: the owner of the range that it lies in, or itself.
    pub fn charged(&self, uid: u32) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_none_or(|looked| looked.elapsed() >= BELIEVED) {
            self.look(&mut state);
        }
        state.ranges.owner(uid).unwrap_or(uid)
    }

    /// Reads it again, names and all, whether or not it has changed.
    pub fn read_again(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
        self.look(&mut state);
    }

    fn look(&self, state: &mut State) {
        state.looked = Some(Instant::now());
        let stamp = fs::metadata(&self.path).ok().map(|found| Stamp {
            inode: found.ino(),
            size: found.size(),
            changed: (found.mtime(), found.mtime_nsec()),
        });
        if stamp == state.stamp {
            return;
        }
        state.stamp = stamp;
        match fs::read(&self.path) {
            Ok(text) => {
                let mut uid = |name: &str| {
                    *state.known.entry(name.to_owned()).or_insert_with(|| super::users::uid(name))
                };
                state.ranges = Ranges::parse(&String::from_utf8_lossy(&text), &mut uid);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.ranges = Ranges::default(),
            // What was known is better than nothing.
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "reading the subordinate uids");
            }
        }
    }
}

/// Ranges that do not overlap: by their first uid, the last and the owner.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u32, (u32, u32)>);

impl Ranges {
    /// The lines `OWNER:FIRST:COUNT`. What lies in two ranges belongs to the first; lines that are none are
    /// passed over, as newuidmap(1) does. A range whose owner nobody knows is its own first uid's, so that
    /// it counts as one user all the same.
    fn parse(text: &str, uid: &mut dyn FnMut(&str) -> Option<u32>) -> Self {
        let mut ranges = Self::default();
        for line in text.lines().take(MOST) {
            let mut fields = line.split(':');
            let (Some(owner), Some(first), Some(count), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (Ok(first), Ok(count)) = (first.trim().parse::<u32>(), count.trim().parse::<u32>()) else {
                continue;
            };
            let Some(more) = count.checked_sub(1) else { continue };
            let owner = owner.trim().parse().ok().or_else(|| uid(owner.trim())).unwrap_or(first);
            ranges.add(first, first.saturating_add(more), owner);
        }
        ranges
    }

    /// Adds what of `first..=last` nobody has yet.
    fn add(&mut self, first: u32, last: u32, owner: u32) {
        let mut next = u64::from(match self.0.range(..=first).next_back() {
            Some((_, &(end, _))) if end >= last => return,
            Some((_, &(end, _))) if end >= first => end + 1,
            _ => first,
        });
        let taken: Vec<_> = self.0.range(first..=last).map(|(&first, &(last, _))| (first, last)).collect();
        for (start, end) in taken {
            self.put(next, u64::from(start), owner);
            next = next.max(u64::from(end) + 1);
        }
        self.put(next, u64::from(last) + 1, owner);
    }

    /// Puts in `first..end`, if that is anything.
    fn put(&mut self, first: u64, end: u64, owner: u32) {
        if let (true, Ok(first), Ok(last)) = (first < end, u32::try_from(first), u32::try_from(end - 1)) {
            self.0.insert(first, (last, owner));
        }
    }

    fn owner(&self, uid: u32) -> Option<u32> {
        let (_, &(last, owner)) = self.0.range(..=uid).next_back()?;
        (uid <= last).then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Ranges {
        Ranges::parse(text, &mut |name| match name {
            "alice" => Some(1001),
            "bob" => Some(1002),
            _ => None,
        })
    }

    #[test]
    fn a_subordinate_uid_is_its_owners() {
        let ranges = parse("alice:100000:65536\nbob:165536:65536\n4711:300000:1\n");
        for (uid, owner) in [
            (1001, None),
            (99_999, None),
            (100_000, Some(1001)),
            (165_535, Some(1001)),
            (165_536, Some(1002)),
            (231_071, Some(1002)),
            (231_072, None),
            (300_000, Some(4711)),
            (300_001, None),
        ] {
            assert_eq!(ranges.owner(uid), owner, "{uid}");
        }
    }

    #[test]
    fn the_first_of_overlapping_ranges_counts() {
        let ranges = parse("alice:100:10\nbob:50:100\nbob:105:1\nalice:0:4294967295\n");
        let owners =
            [(99, 1002), (100, 1001), (109, 1001), (110, 1002), (149, 1002), (150, 1001), (49, 1001)];
        for (uid, owner) in owners {
            assert_eq!(ranges.owner(uid), Some(owner), "{uid}");
        }
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        let text = "\n#alice:1:1\nalice\nalice:1\nalice:x:1\nalice:1:x\nalice:1:0\nalice:-1:5\nalice:1:1:1\n\
                    bob:4294967295:9\nghost:500:5\n";
        let ranges = parse(text);
        assert_eq!(ranges.owner(u32::MAX), Some(1002));
        assert_eq!((ranges.owner(500), ranges.owner(504), ranges.owner(505)), (Some(500), Some(500), None));
        // "#alice" is nobody, as for newuidmap(1), which knows no comments.
        assert_eq!(ranges.owner(1), Some(1));
        assert_eq!(ranges.0.len(), 3);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("subuid");
        let subids = Subids::new(&path);
        assert_eq!(subids.charged(100_000), 100_000);
        fs::write(&path, "7:100000:10\n").unwrap();
        subids.read_again();
        assert_eq!((subids.charged(100_000), subids.charged(100_010)), (7, 100_010));
        fs::write(&path, "8:100000:100\n").unwrap();
        let start = Instant::now();
        while subids.charged(100_000) != 8 {
            assert!(start.elapsed() < BELIEVED * 10, "the file is not looked at");
            std::thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        while subids.charged(100_000) != 100_000 {
            assert!(start.elapsed() < BELIEVED * 20, "the file is not looked at");
            std::thread::yield_now();
        }
    }

    proptest! {
        #[test]
        fn the_owner_is_that_of_the_first_line_that_holds_it(
            lines in prop::collection::vec((0u32..400, 1u32..80), 0..12),
            uid in 0u32..500,
        ) {
            let numbered = lines.iter().enumerate();
            let text: String =
                numbered.clone().map(|(owner, (first, count))| format!("{owner}:{first}:{count}\n")).collect();
            let mut holding = numbered.filter(|(_, (first, count))| (*first..first + count).contains(&uid));
            let expected = holding.next().map(|(owner, _)| u32::try_from(owner).unwrap());
            prop_assert_eq!(parse(&text).owner(uid), expected);
        }
    }
}

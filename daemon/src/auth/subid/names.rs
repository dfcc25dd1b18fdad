//! The uids of names: what the user database said, and what it is still to be asked.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long nobody is believed to have a name: whoever is made in a directory service shall be known soon.
const ABSENT: Duration = Duration::from_secs(60);
/// How long it is believed that the database cannot be asked.
const FAILED: Duration = Duration::from_secs(5);

/// What the database said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name is this user's, until all names are asked for again.
    Uid(u32),
    /// Nobody has it.
    Nobody,
    /// It cannot be asked.
    Failed,
}

impl From<io::Result<Option<u32>>> for Answer {
    fn from(answer: io::Result<Option<u32>>) -> Self {
        match answer {
            Ok(Some(uid)) => Self::Uid(uid),
            Ok(None) => Self::Nobody,
            Err(_) => Self::Failed,
        }
    }
}

/// The names that were met.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<Arc<str>, Entry>,
    /// To be asked, in this order.
    waiting: VecDeque<Arc<str>>,
}

#[derive(Debug, Default)]
struct Entry {
    answer: Option<(Answer, Instant)>,
    is_awaited: bool,
}

impl Names {
    /// What was said, if that is still to be believed. If it is not, the name waits to be asked from here on.
    pub fn answer(&mut self, name: &Arc<str>, now: Instant) -> Option<Answer> {
        let entry = self.known.entry(Arc::clone(name)).or_default();
        let believed = entry.answer.filter(|(answer, said)| {
            let long = match answer {
                Answer::Uid(_) => return true,
                Answer::Nobody => ABSENT,
                Answer::Failed => FAILED,
            };
            now.saturating_duration_since(*said) < long
        });
        if believed.is_none() && !entry.is_awaited {
            entry.is_awaited = true;
            self.waiting.push_back(Arc::clone(name));
        }
        believed.map(|(answer, _)| answer)
    }

    /// The next name to ask.
    pub fn next(&mut self) -> Option<Arc<str>> {
        self.waiting.pop_front()
    }

    /// Whether there is a name to ask.
    pub fn is_any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Notes what was said.
    pub fn note(&mut self, name: Arc<str>, answer: Answer, now: Instant) {
        self.known.insert(name, Entry { answer: Some((answer, now)), is_awaited: false });
    }

    /// Forgets what was said; what is being asked is asked to its end.
    pub fn forget(&mut self) {
        self.known.retain(|_, entry| entry.is_awaited);
        self.known.values_mut().for_each(|entry| entry.answer = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_stays_and_everything_else_is_asked_for_again() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        for (answer, believed) in [(Answer::Uid(7), u64::MAX), (Answer::Nobody, 60), (Answer::Failed, 5)] {
            let (mut names, name) = (Names::default(), Arc::from("alice"));
            assert_eq!(names.answer(&name, start), None);
            // It is asked once, however many want to know.
            assert_eq!(names.answer(&name, start), None);
            assert_eq!((names.next(), names.next()), (Some(Arc::clone(&name)), None));
            names.note(Arc::clone(&name), answer, start);
            assert_eq!(names.answer(&name, later(believed.min(9999) - 1)), Some(answer));
            assert!(!names.is_any_waiting());
            let after = names.answer(&name, later(believed.min(9999)));
            let again = (believed < 9999).then_some(name);
            assert_eq!((after.is_none(), names.next()), (again.is_some(), again));
        }
    }

    #[test]
    fn what_is_forgotten_is_asked_for_again() {
        let (mut names, now) = (Names::default(), Instant::now());
        let (alice, bob) = (Arc::from("alice"), Arc::from("bob"));
        names.note(Arc::clone(&alice), Answer::Uid(7), now);
        names.answer(&bob, now);
        names.forget();
        assert_eq!((names.answer(&alice, now), names.answer(&bob, now)), (None, None));
        assert_eq!([names.next(), names.next(), names.next()], [Some(bob), Some(alice), None]);
    }
}

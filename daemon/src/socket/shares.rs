//! What each user has of the daemon: connections, calls, watches, and octets to send.
//!
//! A user may have so many; but one half of what there is, is for those who have little. So though a hundred
//! users take all they can get, there is some left for one more. Administrators take nothing of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    allowance::Allowance,
    limits::{CALL_COSTS, CALLS, CLOSING, CONNECTION_COSTS, Most, WATCHES},
};
use crate::auth::{Closing, Subids};

/// This part of what a user may have is little.
const LITTLE: usize = 16;
/// How many users are remembered before those who have nothing are forgotten.
const REMEMBERED: usize = 256;

/// What all users have. A cheap handle.
#[derive(Clone)]
pub struct Shares(Arc<Mutex<Inner>>, Arc<Subids>);

struct Inner {
    connections: Most,
    users: HashMap<u32, User>,
    /// The sum of what users have.
    all: Had,
}

struct User {
    has: Had,
    allowance: Allowance,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Had {
    connections: usize,
    calls: usize,
    watches: usize,
}

/// What can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connection,
    Call,
    Watch,
}

impl Shares {
    /// With so many connections to be had.
    pub fn new(connections: Most, subids: Arc<Subids>) -> Self {
        Self(Arc::new(Mutex::new(Inner { connections, users: HashMap::new(), all: Had::default() })), subids)
    }

    /// Whose share a user's connections, calls and descriptors are taken from, as far as that is known now.
    pub fn charged(&self, uid: u32) -> u32 {
        self.1.charged(uid)
    }

    /// A connection's seat, if the user may have one more. Descriptors that wait to be closed take room as
    /// connections do.
    pub fn seat(&self, user: Option<u32>, closing: Closing) -> Option<Seat> {
        let Some(uid) = user else { return Some(Seat { shares: self.clone(), user: None }) };
        let now = Instant::now();
        let mut inner = self.lock();
        if closing.user > CLOSING || !inner.take(uid, Kind::Connection, closing, now) {
            return None;
        }
        inner.spend(uid, CONNECTION_COSTS, now);
        drop(inner);
        Some(Seat { shares: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn user(&mut self, uid: u32, now: Instant) -> &mut User {
        if self.users.len() >= REMEMBERED && !self.users.contains_key(&uid) {
            self.users.retain(|_, user| user.has != Had::default() || !user.allowance.is_full(now));
        }
        let new = || User { has: Had::default(), allowance: Allowance::new(now) };
        self.users.entry(uid).or_insert_with(new)
    }

    fn take(&mut self, uid: u32, kind: Kind, closing: Closing, now: Instant) -> bool {
        let most = match kind {
            Kind::Connection => self.connections,
            Kind::Call => CALLS,
            Kind::Watch => WATCHES,
        };
        let all = *self.all.of(kind) + closing.all;
        let user = self.user(uid, now).has.of(kind);
        let has = *user + closing.user;
        let has_little = has < most.user.div_ceil(LITTLE);
        let left = if has_little { most.all } else { most.all / 2 };
        if has >= most.user || all >= left {
            return false;
        }
        *user += 1;
        *self.all.of(kind) += 1;
        true
    }

    fn give_back(&mut self, uid: u32, kind: Kind) {
        if let Some(user) = self.users.get_mut(&uid) {
            *user.has.of(kind) -= 1;
            *self.all.of(kind) -= 1;
        }
    }

    fn spend(&mut self, uid: u32, octets: u32, now: Instant) {
        self.user(uid, now).allowance.spend(octets, now);
    }
}

impl Had {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Connection => &mut self.connections,
            Kind::Call => &mut self.calls,
            Kind::Watch => &mut self.watches,
        }
    }
}

/// One connection's place among its user's; an administrator's counts nowhere.
pub struct Seat {
    shares: Shares,
    user: Option<u32>,
}

impl Seat {
    /// A call's place, if the user may have one more. It costs something either way.
    pub fn call(&self, watch: bool) -> Option<Call> {
        let kind = if watch { Kind::Watch } else { Kind::Call };
        if let Some(uid) = self.user {
            let now = Instant::now();
            let mut inner = self.shares.lock();
            inner.spend(uid, CALL_COSTS, now);
            if !inner.take(uid, kind, Closing::default(), now) {
                return None;
            }
        }
        Some(Call { shares: self.shares.clone(), user: self.user, kind })
    }

    /// Notes that octets were received.
    pub fn spend(&self, octets: usize) {
        if let Some(uid) = self.user {
            let octets = u32::try_from(octets).unwrap_or(u32::MAX);
            self.shares.lock().spend(uid, octets, Instant::now());
        }
    }

    /// How long the user has to wait before more is received. None: not at all.
    pub fn wait(&self) -> Option<Duration> {
        let uid = self.user?;
        let now = Instant::now();
        self.shares.lock().user(uid, now).allowance.wait(now)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(uid) = self.user {
            self.shares.lock().give_back(uid, Kind::Connection);
        }
    }
}

/// One call's place among its user's.
pub struct Call {
    shares: Shares,
    user: Option<u32>,
    kind: Kind,
}

impl Call {
    /// Whether it is a Watch.
    pub fn is_watch(&self) -> bool {
        self.kind == Kind::Watch
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(uid) = self.user {
            self.shares.lock().give_back(uid, self.kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { user: 10, all: 100 };

    fn shares(most: Most) -> Shares {
        Shares::new(most, Arc::new(Subids::new("/nonexistent".as_ref())))
    }

    fn take_all(shares: &Shares, user: u32) -> Vec<Seat> {
        std::iter::from_fn(|| shares.seat(Some(user), Closing::default())).take(1000).collect()
    }

    #[test]
    fn one_user_has_a_limit_and_gives_back() {
        let shares = shares(MOST);
        let mut seats = take_all(&shares, 1);
        assert_eq!(seats.len(), 10);
        seats.truncate(4);
        assert_eq!(take_all(&shares, 1).len(), 6);
        assert_eq!(take_all(&shares, 2).len(), 10);
        drop(seats);
        let inner = shares.lock();
        assert_eq!((inner.all, inner.users[&1].has), Default::default());
    }

    #[test]
    fn though_many_users_take_all_they_can_there_is_some_left() {
        let shares = shares(Most { user: 128, all: 2048 });
        let taken: Vec<_> = (1..=100).map(|user| take_all(&shares, user)).collect();
        assert!(taken.iter().all(|seats| seats.len() >= 8), "{:?}", shares.lock().all);
        assert!(take_all(&shares, 101).len() >= 8);
        // An administrator has as many as it wants, and nobody has fewer for that.
        let before = shares.lock().all;
        let admins: Vec<_> = (0..500).filter_map(|_| shares.seat(None, Closing::default())).collect();
        assert_eq!((admins.len(), shares.lock().all), (500, before));
    }

    #[test]
    fn what_waits_to_be_closed_takes_room() {
        let shares = shares(MOST);
        let seat = |user, all| shares.seat(Some(1), Closing { user, all });
        assert!(seat(9, 9).is_some());
        assert!(seat(10, 10).is_none());
        assert!(seat(0, 100).is_none());
        assert!(shares.seat(None, Closing { user: 1000, all: 1000 }).is_some());
    }

    #[test]
    fn calls_and_watches_are_counted_apart_and_by_user() {
        let shares = shares(MOST);
        let seats = [(); 2].map(|()| shares.seat(Some(1), Closing::default()).unwrap());
        let calls: Vec<_> = (0..1000).filter_map(|_| seats[0].call(false)).collect();
        assert_eq!(calls.len(), CALLS.user);
        assert!(seats[1].call(false).is_none());
        let watches: Vec<_> = (0..1000).filter_map(|_| seats[1].call(true)).collect();
        assert_eq!(watches.len(), WATCHES.user);
        drop(calls);
        assert!(seats[1].call(false).is_some());
    }

    #[test]
    fn a_user_who_hangs_up_has_no_new_allowance() {
        let shares = shares(MOST);
        let seat = |user| shares.seat(Some(user), Closing::default()).unwrap();
        seat(1).spend(10 << 20);
        assert!(seat(1).wait().is_some());
        assert_eq!(seat(2).wait(), None);
        // Who comes once is not remembered for ever; who is in debt is.
        (0..10_000).for_each(|user| drop(seat(10 + user)));
        assert!(seat(1).wait().is_some());
    }
}

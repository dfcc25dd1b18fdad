//! The socket: accepting connections, knowing who they are from, taking what they pass, and keeping each
//! user to a share of it all.
//!
//! The only way into the daemon. A connection without kernel credentials is dropped before a byte of it
//! is read; descriptors are taken off it here and stay unproven. [`limits`] holds every limit.

mod allowance;
mod connection;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod limits;
mod listener;
mod shares;
mod stream;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub use listener::{Error, Pulse, adopt, attend, bind, is_served, serve};
pub use shares::Shares;
pub use stream::Stream;

use self::{connection::Activity, limits::PASSED};
use crate::auth::{Passed, Peer, Unproven};

/// One connection: who called, and what came with it. A cheap handle, made when it is accepted; every
/// request carries it.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    peer: Peer,
    account: u32,
    passed: Mutex<Vec<Unproven>>,
    activity: Mutex<Activity>,
    /// Counts the connection among its user's, as long as it lasts.
    seat: shares::Seat,
}

impl Caller {
    fn new(peer: Peer, account: u32, seat: shares::Seat) -> Self {
        let activity = Mutex::new(Activity::new(Instant::now()));
        Self(Arc::new(Inner { peer, account, passed: Mutex::default(), activity, seat }))
    }

    /// Who called.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Whose share it takes from: the caller's, or, of a subordinate uid, that of its range's owner.
    pub fn account(&self) -> u32 {
        self.0.account
    }

    /// What the connection passed. It is given once: the second call finds nothing.
    pub fn take(&self) -> Passed {
        let mut passed = self.passed();
        let mut descriptors = std::mem::take(&mut *passed).into_iter();
        Passed { namespace: descriptors.next(), lease: descriptors.next() }
    }

    /// Keeps descriptors for a later request; false if there are too many.
    fn keep(&self, descriptors: Vec<Unproven>) -> bool {
        let mut passed = self.passed();
        if passed.len() + descriptors.len() > PASSED {
            return false;
        }
        passed.extend(descriptors);
        true
    }

    fn passed(&self) -> MutexGuard<'_, Vec<Unproven>> {
        self.0.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

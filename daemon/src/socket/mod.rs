//! The socket: accepting connections, knowing who they are from, and taking what they pass.
//!
//! The only way into the daemon. A connection without kernel credentials is dropped before a byte of it
//! is read; descriptors are taken off it here and stay unproven.

mod listener;
mod stream;

use std::sync::{Arc, Mutex, PoisonError};

pub use listener::{Error, bind, incoming};
pub use stream::Stream;

use crate::auth::{Passed, Peer, Unproven};

/// The most descriptors that one connection may pass: the namespace and the lease.
const MOST: usize = 2;
/// The most descriptors of one user that may wait to be closed before further ones are refused, and
/// further connections.
const CLOSING: usize = 16;

/// One connection: who called, and what came with it. A cheap handle, made when it is accepted; tonic
/// hands it to every request.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    peer: Peer,
    passed: Mutex<Vec<Unproven>>,
    /// Counts the connection among its user's, as long as it lasts.
    _seat: listener::Seat,
}

impl Caller {
    fn new(peer: Peer, seat: listener::Seat) -> Self {
        Self(Arc::new(Inner { peer, passed: Mutex::default(), _seat: seat }))
    }

    /// Who called.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
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
        if passed.len() + descriptors.len() > MOST {
            return false;
        }
        passed.extend(descriptors);
        true
    }

    fn passed(&self) -> std::sync::MutexGuard<'_, Vec<Unproven>> {
        self.0.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

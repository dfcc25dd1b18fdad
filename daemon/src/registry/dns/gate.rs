//! How many at a time: in all, and for each owner of clients. What is let in holds a [`Pass`] and leaves by
//! dropping it, so memory and descriptors stay bounded whatever the clients do.
//!
//! One half of what there is, is for those who have little, as with the daemon's own socket: though many users
//! take all they can get, there is some left for one more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// This part of what an owner may have is little.
const LITTLE: usize = 16;

/// Whom a client is counted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The user whose container it is.
    Account(u32),
    /// This host.
    Host,
    /// All the rest together: their addresses may be made up.
    Unknown,
}

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most this many at a time.
    pub total: usize,
    /// And of one owner this many.
    pub per_owner: usize,
}

/// Counts who is inside.
#[derive(Clone, Debug)]
pub struct Gate {
    limits: Limits,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    owners: HashMap<Owner, usize>,
}

/// Leave to be inside.
#[derive(Debug)]
pub struct Pass {
    owner: Owner,
    inside: Arc<Mutex<Inside>>,
}

impl Gate {
    /// A gate nobody is in.
    pub fn new(limits: Limits) -> Self {
        Self { limits, inside: Arc::default() }
    }

    /// Lets one of an owner's clients in, if there is room.
    pub fn enter(&self, owner: Owner) -> Option<Pass> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.owners.get(&owner).copied().unwrap_or(0);
        let has_little = own < self.limits.per_owner.div_ceil(LITTLE);
        let left = if has_little { self.limits.total } else { self.limits.total / 2 };
        if inside.total >= left || own >= self.limits.per_owner {
            return None;
        }
        inside.total += 1;
        inside.owners.insert(owner, own + 1);
        Some(Pass { owner, inside: Arc::clone(&self.inside) })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total = inside.total.saturating_sub(1);
        if let Some(own) = inside.owners.get_mut(&self.owner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                inside.owners.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(gate: &Gate, owner: Owner) -> Vec<Pass> {
        std::iter::from_fn(|| gate.enter(owner)).take(1000).collect()
    }

    #[test]
    fn holds_both_bounds_and_forgets_who_left() {
        let gate = Gate::new(Limits { total: 64, per_owner: 20 });
        let [a, b, c] = [1, 2, 3].map(Owner::Account);
        let first = take_all(&gate, a);
        assert_eq!(first.len(), 20, "an owner's bound");
        let second = take_all(&gate, b);
        assert_eq!(second.len(), 12, "one half is for those who have little");
        let rest: Vec<_> = (10..100).flat_map(|number| take_all(&gate, Owner::Account(number))).collect();
        assert_eq!(rest.len(), 32, "full");
        assert!(gate.enter(c).is_none());
        drop((first, second, rest));
        assert_eq!(take_all(&gate, c).len(), 20);
        assert!(gate.inside.lock().unwrap().owners.is_empty());
    }

    #[test]
    fn though_many_owners_take_all_they_can_there_is_some_left() {
        let gate = Gate::new(Limits { total: 256, per_owner: 64 });
        let taken: Vec<_> = (1..=20).map(|number| take_all(&gate, Owner::Account(number))).collect();
        assert!(taken.iter().all(|passes| passes.len() >= 4));
        assert!([Owner::Host, Owner::Unknown].iter().all(|owner| take_all(&gate, *owner).len() >= 4));
    }
}

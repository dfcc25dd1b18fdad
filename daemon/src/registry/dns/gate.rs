//! How many at a time: in all, and for each client. What is let in holds a [`Pass`] and leaves by dropping
//! it, so memory and descriptors stay bounded whatever the clients do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most this many at a time.
    pub total: usize,
    /// And of one client this many.
    pub per_client: usize,
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
    clients: HashMap<IpAddr, usize>,
}

/// Leave to be inside.
#[derive(Debug)]
pub struct Pass {
    client: IpAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Gate {
    /// A gate nobody is in.
    pub fn new(limits: Limits) -> Self {
        Self { limits, inside: Arc::default() }
    }

    /// Lets a client in, if there is room.
    pub fn enter(&self, client: IpAddr) -> Option<Pass> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.clients.get(&client).copied().unwrap_or(0);
        if inside.total >= self.limits.total || own >= self.limits.per_client {
            return None;
        }
        inside.total += 1;
        inside.clients.insert(client, own + 1);
        Some(Pass { client, inside: Arc::clone(&self.inside) })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total = inside.total.saturating_sub(1);
        if let Some(own) = inside.clients.get_mut(&self.client) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                inside.clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_both_bounds_and_forgets_who_left() {
        let gate = Gate::new(Limits { total: 3, per_client: 2 });
        let [a, b, c] = ["::a", "::b", "::c"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = gate.enter(a).unwrap();
        let _second = gate.enter(a).unwrap();
        assert!(gate.enter(a).is_none(), "two are inside");
        let third = gate.enter(b).unwrap();
        assert!(gate.enter(c).is_none(), "full");
        drop((first, third));
        assert!(gate.enter(a).is_some() && gate.enter(c).is_some());
        assert_eq!(gate.inside.lock().unwrap().clients.len(), 1);
    }
}

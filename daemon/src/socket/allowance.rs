//! What one user may send: a bucket that fills evenly and that every octet, call and connection empties.
//!
//! Whatever frames a flood is made of, it is made of octets: a user whose bucket is empty is not read from
//! until it has filled a little, so that it is the user who waits and not the daemon that works.

use std::time::{Duration, Instant};

use super::limits::ALLOWANCE;

/// One user's bucket.
#[derive(Debug)]
pub struct Allowance {
    /// Octets; below zero, what was spent in advance.
    level: f64,
    at: Instant,
}

impl Allowance {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { level: ALLOWANCE.into(), at: now }
    }

    /// Takes octets out, also if there are none.
    pub fn spend(&mut self, octets: u32, now: Instant) {
        self.fill(now);
        self.level -= f64::from(octets);
    }

    /// How long until there is something in it again. None: there is.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.fill(now);
        // Not for the first octet, but for enough to be worth waking up for.
        let worth = f64::from(ALLOWANCE) / 64.0;
        (self.level <= 0.0).then(|| Duration::from_secs_f64((worth - self.level) / f64::from(ALLOWANCE)))
    }

    /// Whether it is as full as it gets.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= f64::from(ALLOWANCE)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + passed * f64::from(ALLOWANCE)).min(ALLOWANCE.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_empties_at_once_and_fills_within_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        allowance.spend(ALLOWANCE / 2, start);
        assert_eq!(allowance.wait(start), None);
        allowance.spend(ALLOWANCE, start);
        let wait = allowance.wait(start).expect("half a second's worth in advance");
        assert!(wait > Duration::from_millis(500) && wait < Duration::from_millis(600), "{wait:?}");
        assert_eq!(allowance.wait(start + wait), None);
        assert!(!allowance.is_full(start + Duration::from_secs(1)));
        assert!(allowance.is_full(start + Duration::from_secs(2)));
        // It holds a second's worth and no more, however long nobody came.
        allowance.spend(2 * ALLOWANCE, start + Duration::from_secs(100));
        assert!(allowance.wait(start + Duration::from_millis(100_500)).is_some());
    }
}

//! How often a user activates or exposes: a token bucket for each user and rule.
//!
//! A bucket is one moment, that at which it will be full again (the generic cell rate algorithm, ITU-T I.371,
//! annex A): every call moves it on by the time that one takes to come back. No clock: the time is passed in.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Origin, Rate, Rule};

/// So many buckets may be there before full ones are looked for and thrown away.
const SOME: usize = 1024;

/// The buckets that are not full.
#[derive(Debug)]
pub struct Rates {
    full_at: HashMap<Key, Instant>,
    crowded: usize,
}

/// A user, and the line of the rule.
type Key = (u32, usize);

impl Default for Rates {
    fn default() -> Self {
        Self { full_at: HashMap::new(), crowded: SOME }
    }
}

impl Rates {
    /// Takes one.
    ///
    /// # Errors
    /// None is left: how long it takes until one is back.
    pub fn take(&mut self, account: u32, rule: &Rule, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait(account, rule, now) {
            return Err(wait);
        }
        if let Some(rate) = rule.limits.rate {
            let full_at = self.full_at(account, rule, now) + times(rate).0;
            self.make_room(now);
            self.full_at.insert(key(account, rule), full_at);
        }
        Ok(())
    }

    /// How long it takes until there is one to take; none: there is.
    pub fn wait(&self, account: u32, rule: &Rule, now: Instant) -> Option<Duration> {
        let (one, all) = times(rule.limits.rate?);
        let missing = self.full_at(account, rule, now) + one - now;
        missing.checked_sub(all).filter(|wait| !wait.is_zero())
    }

    /// How many are left at this moment; none: there is no limit.
    pub fn left(&self, account: u32, rule: &Rule, now: Instant) -> Option<u32> {
        let rate = rule.limits.rate?;
        let (one, all) = times(rate);
        let left = all.saturating_sub(self.full_at(account, rule, now) - now);
        Some(u32::try_from(left.as_nanos() / one.as_nanos()).unwrap_or(rate.burst))
    }

    fn full_at(&self, account: u32, rule: &Rule, now: Instant) -> Instant {
        self.full_at.get(&key(account, rule)).copied().map_or(now, |full_at| full_at.max(now))
    }

    /// Throws full buckets away now and then; each call pays for a constant part of that.
    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() >= self.crowded {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.full_at.shrink_to(SOME);
            self.crowded = SOME.max(2 * self.full_at.len());
        }
    }
}

/// In how long one comes back, and all. In whole nanoseconds, so that the parts make up the whole.
fn times(rate: Rate) -> (Duration, Duration) {
    let one = Duration::from_secs(60) / rate.per_minute.max(1);
    (one, one * rate.burst)
}

fn key(account: u32, rule: &Rule) -> Key {
    let line = match rule.origin {
        Origin::Line { line, .. } => line,
        Origin::Default | Origin::Root => 0,
    };
    (account, line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::Limits, *};

    fn rule(per_minute: u32, burst: u32) -> Rule {
        let rate = Some(Rate { per_minute, burst });
        Rule::general(Origin::Default, Limits { rate, ..Limits::none() })
    }

    #[test]
    fn a_burst_and_then_one_as_each_comes_back() {
        let (mut rates, rule, start) = (Rates::default(), rule(60, 3), Instant::now());
        let mut take = |millis| rates.take(7, &rule, start + Duration::from_millis(millis));
        for _ in 0..3 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(Duration::from_secs(1)));
        assert_eq!(take(999), Err(Duration::from_millis(1)));
        assert_eq!(take(1000), Ok(()));
        assert_eq!(take(1500), Err(Duration::from_millis(500)));
        // Never more than the burst, however long the rest.
        for _ in 0..3 {
            assert_eq!(take(1_000_000), Ok(()));
        }
        assert!(take(1_000_000).is_err());
    }

    #[test]
    fn everyone_has_a_bucket_of_their_own_for_each_rule() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let one = rule(1, 1);
        let path = std::path::Path::new("x").into();
        let other = Rule { origin: Origin::Line { path, line: 3 }, ..one.clone() };
        assert!(rates.take(7, &one, now).is_ok() && rates.take(7, &one, now).is_err());
        assert!(rates.take(8, &one, now).is_ok() && rates.take(7, &other, now).is_ok());
        assert_eq!((rates.left(7, &one, now), rates.left(9, &one, now)), (Some(0), Some(1)));
        assert_eq!(rates.left(7, &Rule::general(Origin::Root, Limits::none()), now), None);
    }

    #[test]
    fn many_users_do_not_stay() {
        let (mut rates, rule, start) = (Rates::default(), rule(60_000, 2), Instant::now());
        for uid in 0..100_000 {
            rates.take(uid, &rule, start + Duration::from_millis(u64::from(uid))).unwrap();
        }
        assert!(rates.full_at.len() <= SOME, "{}", rates.full_at.len());
    }

    proptest! {
        /// In no stretch of time are there more than the burst and what came back meanwhile.
        #[test]
        fn no_stretch_has_too_many(
            per_minute in 1u32..1000,
            burst in 1u32..50,
            pauses in prop::collection::vec(0u64..5000, 1..200),
        ) {
            let (mut rates, rule, start) = (Rates::default(), rule(per_minute, burst), Instant::now());
            let mut now = start;
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                let left = rates.left(1, &rule, now).unwrap();
                let outcome = rates.take(1, &rule, now);
                prop_assert_eq!(left > 0, outcome.is_ok());
                taken.extend(outcome.is_ok().then_some(now));
            }
            for (from, first) in taken.iter().enumerate() {
                for (to, last) in taken.iter().enumerate().skip(from) {
                    let back = (*last - *first).as_secs_f64() * f64::from(per_minute) / 60.0;
                    let most = f64::from(burst) + back + 1e-3;
                    prop_assert!(f64::from(u32::try_from(to - from + 1).unwrap()) <= most);
                }
            }
        }
    }
}

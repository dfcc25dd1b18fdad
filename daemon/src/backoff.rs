//! How long to wait after failures: 1 s, doubled each time, at most 30 s.

use std::time::Duration;

/// The longest wait. Names must be right 35 s after a registry is back, so it cannot be much more.
pub const LONGEST: Duration = Duration::from_secs(30);

/// The wait after this many consecutive failures.
pub fn after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    Duration::from_secs(1 << doublings).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_half_a_minute() {
        let seconds: Vec<u64> = (0..8).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(after(u32::MAX), LONGEST);
    }
}

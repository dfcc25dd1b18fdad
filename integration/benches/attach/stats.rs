//! Medians, spreads, ratios.

use std::time::Duration;

/// What was measured, once a round, in milliseconds or whatever the unit is.
#[derive(Default, Clone)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds one round's time.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    /// Adds one round's value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value that half of them are below.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that this share of them are below; no number of no values.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the length"
        )]
        #[expect(clippy::cast_precision_loss, reason = "there are few")]
        let at = (last as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    /// The median of the rounds' own ratios: what a slow round does to both is taken out.
    pub fn ratio(&self, other: &Self) -> f64 {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect()).median()
    }

    /// The rounds' own differences.
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one - other).collect())
    }
}

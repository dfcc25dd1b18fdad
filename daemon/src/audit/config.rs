//! `[audit]`.

use serde::Deserialize;

/// The smallest and the largest size in octets.
const SIZES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
/// The most files that are kept. A search opens all of them.
const MOST: u32 = 99;

/// What is kept of who had which address: as written, and, once checked, as used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is a file. The journal is told in any case.
    pub file: bool,
    /// At how many octets the file is set aside.
    pub size: u64,
    /// How many that were set aside are kept.
    pub keep: u32,
}

impl Default for Config {
    fn default() -> Self {
        // Some 200,000 containers in 150 MB.
        Self { file: true, size: 16 << 20, keep: 8 }
    }
}

impl Config {
    /// What makes no sense, each in one sentence.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !SIZES.contains(&self.size) {
            let (least, most) = (SIZES.start(), SIZES.end());
            reasons.push(format!("audit.size: {} is not within {least} to {most} octets", self.size));
        }
        if self.keep > MOST {
            reasons.push(format!("audit.keep: {} is more than {MOST} files", self.keep));
        }
        reasons
    }
}

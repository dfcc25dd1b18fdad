//! One entry of the history, as `v6pod history --json` gives it.

use serde_json::Value;
use v6pod_integration::Command;

/// Who had an address from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    pub uid: u64,
    pub container: String,
    pub name: String,
    pub address: String,
    pub mac: String,
    pub network: String,
    /// RFC 3339; such texts of one form are in the order of their times.
    pub start: String,
    /// None while it lasts.
    pub end: Option<String>,
    pub reason: String,
    pub approximate: bool,
}

impl Found {
    /// Asks, and reads what is found: nothing, if the exit code says so.
    #[track_caller]
    pub fn read(asking: Command) -> Vec<Self> {
        let output = asking.try_run();
        let entries = output.json()["entries"].as_array().cloned().expect("entries");
        let code = if entries.is_empty() { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{output}");
        entries.iter().map(Self::of).collect()
    }

    fn of(entry: &Value) -> Self {
        let text = |key: &str| entry[key].as_str().expect(key).to_owned();
        Self {
            id: text("id"),
            uid: entry["uid"].as_u64().expect("uid"),
            container: text("container_id"),
            name: text("name"),
            address: text("address"),
            mac: text("mac"),
            network: text("network"),
            start: text("start"),
            end: entry["end"].as_str().map(str::to_owned),
            reason: text("reason"),
            approximate: entry["approximate"].as_bool().expect("approximate"),
        }
    }

    /// Its reason, and whether its time is a guess; panics while it lasts.
    #[track_caller]
    pub fn how(&self) -> (&str, bool) {
        assert!(self.end.is_some(), "{self:#?}");
        (&self.reason, self.approximate)
    }
}

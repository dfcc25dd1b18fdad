//! The file's lines: one JSON object each, with `event` and `time` (RFC 3339, UTC) first.
//!
//! ```text
//! {"event":"daemon","time":"…","version":"0.1.0","boot":"…"}    v6podd was started; boot is the kernel's boot_id
//! {"event":"start", "time":"…","id":"…","uid":1001,"container_id":"…","name":"web","address":"…","mac":"…",
//!  "network":"default","start":"…","up":12345}
//! {"event":"change","time":"…",…}                               its name or container became known
//! {"event":"alive", "time":"…",…}                               it lasts: at the head of each file
//! {"event":"end",   "time":"…",…,"reason":"lease"}              "approximate":true: at that time or before
//! {"event":"lost",  "time":"…","count":3}                       so many entries before this could not be kept
//! ```
//!
//! Each line about an attachment has all there is to say of it, so an `end` suffices to answer for a whole
//! life, and files can be removed without making others unreadable. `up` is how many milliseconds the host
//! had been up at the start; with it a clock that was set is noticed (`clock_stepped`, in seconds).

use std::{
    net::Ipv6Addr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::life::{End, Life, Moment, Reason};
use crate::model::{AttachmentId, ContainerId, Mac, Name, NetworkName};

/// How lines begin that tell of an end: what a search can pass over without reading it.
pub const END: &[u8] = br#"{"event":"end","#;

/// A line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The daemon was started, or began this file.
    Daemon {
        /// When.
        #[serde(with = "rfc3339")]
        time: SystemTime,
        /// The daemon's version.
        version: String,
        /// `/proc/sys/kernel/random/boot_id`.
        boot: String,
    },
    /// An attachment was made.
    Start(Entry),
    /// Its name or container became known.
    Change(Entry),
    /// It lasts.
    Alive(Entry),
    /// It has ended.
    End(Entry),
    /// Entries could not be kept.
    Lost {
        /// Before this.
        #[serde(with = "rfc3339")]
        time: SystemTime,
        /// How many.
        count: u64,
    },
}

impl Line {
    /// The line as it is written, with its line end.
    pub fn octets(&self) -> Vec<u8> {
        // Cannot fail: there are no maps in it whose keys are not text.
        let mut octets = serde_json::to_vec(self).unwrap_or_default();
        octets.push(b'\n');
        octets
    }

    /// Reads one, with or without its line end. None: it is torn, or a newer daemon's.
    pub fn read(octets: &[u8]) -> Option<Self> {
        serde_json::from_slice(octets).ok()
    }

    /// Its time.
    pub fn time(&self) -> SystemTime {
        match self {
            Self::Daemon { time, .. } | Self::Lost { time, .. } => *time,
            Self::Start(entry) | Self::Change(entry) | Self::Alive(entry) | Self::End(entry) => entry.time,
        }
    }
}

/// A line about an attachment.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(with = "rfc3339")]
    time: SystemTime,
    id: AttachmentId,
    uid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container_id: Option<ContainerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    address: Ipv6Addr,
    mac: Mac,
    network: NetworkName,
    #[serde(with = "rfc3339")]
    start: SystemTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    up: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "is_default")]
    approximate: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    clock_stepped: i64,
}

impl Entry {
    /// What is to be said of a life. Its time is its end's, or `now`; `up` is how long the host had been up
    /// at its start.
    pub fn of(life: &Life, now: SystemTime, up: Option<Duration>) -> Self {
        let Life { id, uid, container_id, name, address, mac, network, start, end, clock_stepped } =
            life.clone();
        Self {
            time: end.map_or(now, |end| end.time),
            id,
            uid,
            container_id,
            name,
            address,
            mac,
            network,
            start,
            up: up.map(|up| up.as_millis().try_into().unwrap_or(u64::MAX)),
            reason: end.map(|end| end.reason),
            approximate: end.is_some_and(|end| end.approximate),
            clock_stepped,
        }
    }

    /// How long the host had been up at the start.
    pub fn up(&self) -> Option<Duration> {
        self.up.map(Duration::from_millis)
    }
}

impl From<Entry> for Life {
    fn from(entry: Entry) -> Self {
        let end = |reason| End { time: entry.time, reason, approximate: entry.approximate };
        Self {
            id: entry.id,
            uid: entry.uid,
            container_id: entry.container_id,
            name: entry.name,
            address: entry.address,
            mac: entry.mac,
            network: entry.network,
            start: entry.start,
            end: entry.reason.map(end),
            clock_stepped: entry.clock_stepped,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Times as RFC 3339 has them, in UTC, with milliseconds.
mod rfc3339 {
    use std::{borrow::Cow, time::SystemTime};

    use prost_types::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let Timestamp { seconds, nanos } = (*time).into();
        serializer.collect_str(&Timestamp { seconds, nanos: nanos - nanos % 1_000_000 })
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let time: Timestamp = Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)?;
        time.try_into().map_err(D::Error::custom)
    }
}

/// What stands at the head of each file, and wherever the daemon was started.
pub fn daemon(now: Moment, boot: &str) -> Line {
    Line::Daemon { time: now.wall, version: env!("CARGO_PKG_VERSION").to_owned(), boot: boot.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{
        super::life::tests::{at, life},
        *,
    };

    #[test]
    fn a_line_is_one_flat_object() {
        let start = Line::Start(Entry::of(&life(7, 1001, 100, None), at(101), Some(Duration::from_secs(5))));
        let text = r#"{"event":"start","time":"1970-01-01T00:01:41Z","id":"000000000007","uid":1001,"container_id":"c0ffee7","name":"web7","address":"2001:db8::7","mac":"00:00:00:00:00:07","network":"default","start":"1970-01-01T00:01:40Z","up":5000}"#;
        assert_eq!(String::from_utf8(start.octets()).unwrap(), format!("{text}\n"));
        let mut bare = life(7, 1001, 100, Some(200));
        (bare.name, bare.container_id) = (None, None);
        let end = Line::End(Entry::of(&bare, at(999), None)).octets();
        let text = r#"{"event":"end","time":"1970-01-01T00:03:20Z","id":"000000000007","uid":1001,"address":"2001:db8::7","mac":"00:00:00:00:00:07","network":"default","start":"1970-01-01T00:01:40Z","reason":"lease"}"#;
        assert_eq!(String::from_utf8(end.clone()).unwrap(), format!("{text}\n"));
        assert!(end.starts_with(END));
    }

    #[test]
    fn what_is_written_is_read() {
        let millis = Duration::from_millis(250);
        let end = End { time: at(200) + millis, reason: Reason::Reboot, approximate: true };
        let ended = Life { end: Some(end), clock_stepped: -3_600, ..life(1, 1001, 100, None) };
        let Some(Line::End(entry)) = Line::read(&Line::End(Entry::of(&ended, at(0), Some(millis))).octets())
        else {
            panic!("not an end")
        };
        assert_eq!((entry.up(), Life::from(entry)), (Some(millis), ended));
        let lines = [
            Line::Lost { time: at(3), count: 4 },
            daemon(Moment { wall: at(5), up: millis }, "boot"),
            Line::Alive(Entry::of(&life(2, 1002, 3, None), at(9), None)),
        ];
        for line in lines {
            assert_eq!(Line::read(&line.octets()).as_ref(), Some(&line));
        }
    }

    #[test]
    fn what_is_torn_or_strange_is_passed_over() {
        let whole = Line::Start(Entry::of(&life(1, 1001, 100, None), at(100), None)).octets();
        for length in 0..whole.len() - 1 {
            assert_eq!(Line::read(&whole[..length]), None, "{length}");
        }
        assert!(Line::read(&whole[..whole.len() - 1]).is_some());
        for text in ["", "{}", r#"{"event":"later","time":"1970-01-01T00:00:00Z"}"#, "\0\0\0", "null"] {
            assert_eq!(Line::read(text.as_bytes()), None, "{text}");
        }
        let name = String::from_utf8(whole).unwrap().replace("web1", "../x\\u001b[31m");
        assert_eq!(Line::read(name.as_bytes()), None);
    }
}

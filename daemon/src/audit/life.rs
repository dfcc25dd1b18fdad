//! What the audit knows of an attachment: whose it was, which address it had, from when to when.

use std::{
    fmt,
    net::Ipv6Addr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::model::{Attachment, AttachmentId, ContainerId, Mac, Name, NetworkName};

/// A clock that was set is noticed from so many seconds on. Slewing (adjtime(3)) is not seen: the clock
/// since boot is slewed too.
const STEP: i64 = 2;

/// Why a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its owner said so.
    Detach,
    /// An administrator said so, or the rules that an administrator wrote.
    Administrator,
    /// Its owner attached another namespace for the same container: it was restarted.
    Replaced,
    /// The process that held it ended.
    Lease,
    /// Its namespace ended, or somebody deleted the link.
    Namespace,
    /// Its network is no longer configured, or no longer with this prefix.
    Network,
    /// It was gone, or half made or half removed, when the daemon was started.
    Gone,
    /// The host was restarted.
    Reboot,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_ascii_lowercase())
    }
}

/// The end of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub time: SystemTime,
    /// Why.
    pub reason: Reason,
    /// Nobody saw it: it was at `time` or before.
    pub approximate: bool,
}

/// One attachment, as far as it tells who had an address when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The attachment.
    pub id: AttachmentId,
    /// Its owner.
    pub uid: u32,
    /// The container, if the client knew.
    pub container_id: Option<ContainerId>,
    /// The name it was published under.
    pub name: Option<Name>,
    /// Its address.
    pub address: Ipv6Addr,
    /// The MAC of the interface inside.
    pub mac: Mac,
    /// The network.
    pub network: NetworkName,
    /// When it was made, in whole milliseconds: what the file keeps of it.
    pub start: SystemTime,
    /// None while it lasts.
    pub end: Option<End>,
    /// By how many seconds the host's clock was set meanwhile, forward or (negative) back.
    pub clock_stepped: i64,
}

impl Life {
    /// The life of an attachment that there is.
    pub fn of(attachment: &Attachment) -> Self {
        Self {
            id: attachment.id,
            uid: attachment.uid,
            container_id: attachment.container_id.clone(),
            name: attachment.name.clone(),
            address: attachment.address,
            mac: attachment.mac,
            network: attachment.network.clone(),
            start: whole_millis(attachment.created),
            end: None,
            clock_stepped: 0,
        }
    }

    /// Whether any of it was within these times, both included. Where the clock was set meanwhile nobody
    /// knows which of its times a question means: then either counts.
    pub fn overlaps(&self, from: Option<SystemTime>, until: Option<SystemTime>) -> bool {
        let start = self.start.min(moved(self.start, self.clock_stepped));
        let end = self.end.map(|end| end.time.max(moved(end.time, -self.clock_stepped)));
        until.is_none_or(|until| start <= until) && from.is_none_or(|from| end.is_none_or(|end| from <= end))
    }
}

/// A point in time, by the clock that people go by and by one that nobody can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the host's clock says.
    pub wall: SystemTime,
    /// The time since the host was started, time asleep included.
    pub up: Duration,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self { wall: SystemTime::now(), up: up.try_into().unwrap_or_default() }
    }

    /// How long the host was up at `time`, if the clock was not set since.
    pub fn up_at(self, time: SystemTime) -> Duration {
        self.up.saturating_sub(self.wall.duration_since(time).unwrap_or_default())
    }

    /// When the host was started, if the clock was not set since.
    pub fn boot(self) -> SystemTime {
        self.wall.checked_sub(self.up).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// By how many seconds the clock was set between `time`, when the host had been up for `up`, and now.
    pub fn stepped_since(self, time: SystemTime, up: Duration) -> i64 {
        let by_wall = seconds(self.wall) - seconds(time);
        let step = by_wall - (self.up.as_secs_f64() - up.as_secs_f64());
        // Within i64 by far: both times are dates.
        #[expect(clippy::cast_possible_truncation, reason = "a float is cut to the range of an i64")]
        let step = step.round() as i64;
        if step.abs() < STEP { 0 } else { step }
    }
}

fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

fn whole_millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000)
}

fn moved(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    moved.unwrap_or(time)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// So many seconds after 1970.
    pub fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A life from `start` to `end`, whose address ends in its number.
    pub fn life(number: u16, uid: u32, start: u64, end: Option<u64>) -> Life {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
        Life {
            id: AttachmentId::from_bits(number.into()),
            uid,
            container_id: Some(format!("c0ffee{number}").parse().unwrap()),
            name: Some(format!("web{number}").parse().unwrap()),
            address,
            mac: Mac::of(address),
            network: "default".parse().unwrap(),
            start: at(start),
            end: end.map(|end| End { time: at(end), reason: Reason::Lease, approximate: false }),
            clock_stepped: 0,
        }
    }

    #[test]
    fn a_life_is_found_from_its_first_to_its_last_moment() {
        let past = life(1, 1001, 100, Some(200));
        let overlaps = |from, until| past.overlaps(Some(at(from)), Some(at(until)));
        assert!(overlaps(100, 100) && overlaps(200, 200) && overlaps(50, 150) && overlaps(0, 1000));
        assert!(!overlaps(98, 99) && !overlaps(201, 300));
        assert!(past.overlaps(None, None) && past.overlaps(Some(at(200)), None));
        assert!(!past.overlaps(None, Some(at(99))) && !past.overlaps(Some(at(201)), None));
        let alive = life(2, 1001, 100, None);
        assert!(alive.overlaps(Some(at(9999)), None) && !alive.overlaps(None, Some(at(99))));
    }

    #[test]
    fn where_the_clock_was_set_either_time_counts() {
        // An hour back in the middle: it lasted 3700 s, from 10000 to 10100 as the clock showed.
        let back = Life { clock_stepped: -3600, ..life(1, 1001, 10_000, Some(10_100)) };
        for (time, found) in [(6_399, false), (6_400, true), (10_050, true), (13_700, true), (13_701, false)]
        {
            assert_eq!(back.overlaps(Some(at(time)), Some(at(time))), found, "{time}");
        }
        // From 1970 to today: what the clock showed is the widest already.
        let forward = Life { clock_stepped: 9_000, ..life(1, 1001, 1_000, Some(10_100)) };
        assert!(forward.overlaps(Some(at(1_000)), Some(at(1_000))));
        assert!(!forward.overlaps(Some(at(10_101)), None) && !forward.overlaps(None, Some(at(999))));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let up = Duration::from_millis;
        let now = Moment { wall: at(1_000), up: up(500_500) };
        for (start, start_up, step) in [
            (at(900), up(400_500), 0),
            (at(900), up(401_900), 0),
            (at(900), up(410_500), 10),
            (at(4_500), up(400_500), -3_600),
            (SystemTime::UNIX_EPOCH - up(5_000), up(495_500), 1_000),
        ] {
            assert_eq!(now.stepped_since(start, start_up), step, "{start:?}");
        }
        assert_eq!((now.up_at(at(990)), now.up_at(at(1_001))), (up(490_500), up(500_500)));
        assert_eq!(now.boot(), at(499) + up(500));
        let real = Moment::now();
        assert!(real.up > Duration::ZERO && real.boot() < real.wall);
    }
}

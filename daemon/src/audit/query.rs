//! What is asked of the audit, checked.

use std::{net::Ipv6Addr, time::SystemTime};

use ipnet::Ipv6Net;
use prost_types::Timestamp;
use v6pod_proto::v1::{HistoryRequest, history_request::Target};

use super::{Error, life::Life};
use crate::model::{ContainerId, Name};

/// How many entries are given to who names no number, and at most.
const LIMITS: (u32, u32) = (100, 1000);
/// The years 1 to 9999 in seconds since 1970, as google/protobuf/timestamp.proto allows them.
const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Shorter beginnings of a container's id are too likely to fit by accident.
const SHORTEST: usize = 4;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The user.
    pub uid: u32,
    /// The user whose share it takes from: see [`crate::auth::subid`].
    pub account: u32,
    /// Whether it may see everybody's.
    pub all: bool,
}

impl Viewer {
    /// Whose turn a search of its takes. An administrator's is nobody else's, not even that of root's
    /// subordinate uids.
    pub fn payer(&self) -> Payer {
        if self.all { Payer::Administrator(self.uid) } else { Payer::Account(self.account) }
    }
}

/// Who has a turn to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// One administrator.
    Administrator(u32),
    /// A user with all its uids.
    Account(u32),
}

/// Whom it is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Anybody,
    Within(Ipv6Net),
    Named(Name),
    Owned(u32),
    Container(ContainerId),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    viewer: Viewer,
    what: What,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
    /// The most entries in the answer.
    pub limit: usize,
}

impl Query {
    /// Checks a request.
    ///
    /// # Errors
    /// A field is malformed.
    pub fn check(request: &HistoryRequest, viewer: Viewer) -> Result<Self, Error> {
        let what = match &request.target {
            None => What::Anybody,
            Some(Target::Address(text)) => What::Within(prefix(text)?),
            Some(Target::Name(text)) => What::Named(Name::from_container(text)?),
            Some(Target::Uid(uid)) => What::Owned(*uid),
            Some(Target::ContainerId(text)) => What::Container(container(text)?),
        };
        let (from, until) = (time(request.from)?, time(request.until)?);
        if let (Some(from), Some(until)) = (from, until)
            && until < from
        {
            return Err(Error::Backwards);
        }
        let limit = if request.limit == 0 { LIMITS.0 } else { request.limit };
        if limit > LIMITS.1 {
            return Err(Error::TooMany { asked: limit, most: LIMITS.1 });
        }
        Ok(Self { viewer, what, from, until, limit: limit as usize })
    }

    /// Who asks.
    pub fn viewer(&self) -> Viewer {
        self.viewer
    }

    /// Whether a life belongs into the answer.
    pub fn fits(&self, life: &Life) -> bool {
        (self.viewer.all || self.viewer.uid == life.uid)
            && match &self.what {
                What::Anybody => true,
                What::Within(prefix) => prefix.contains(&life.address),
                What::Named(name) => life.name.as_ref() == Some(name),
                What::Owned(uid) => life.uid == *uid,
                What::Container(id) => {
                    life.container_id.as_ref().is_some_and(|found| found.as_str().starts_with(id.as_str()))
                }
            }
            && life.overlaps(self.from, self.until)
    }
}

/// An address is a prefix of all its bits.
fn prefix(text: &str) -> Result<Ipv6Net, Error> {
    let address = text.parse::<Ipv6Addr>().map(Ipv6Net::from);
    let prefix = address.or_else(|_| text.parse::<Ipv6Net>());
    prefix.map_err(|_| Error::NotAnAddress(text.chars().take(64).collect()))
}

fn container(text: &str) -> Result<ContainerId, Error> {
    let id: ContainerId = text.parse()?;
    if text.len() < SHORTEST { Err(Error::TooShort(id)) } else { Ok(id) }
}

fn time(time: Option<Timestamp>) -> Result<Option<SystemTime>, Error> {
    if time.is_some_and(|time| !YEARS.contains(&time.seconds)) {
        return Err(Error::NotATime);
    }
    time.map(SystemTime::try_from).transpose().map_err(|_| Error::NotATime)
}

#[cfg(test)]
pub mod tests {
    use super::{
        super::life::tests::{at, life},
        *,
    };

    pub const ROOT: Viewer = Viewer { uid: 0, account: 0, all: true };
    pub const ALICE: Viewer = Viewer { uid: 1001, account: 1001, all: false };

    pub fn query(target: Option<Target>, viewer: Viewer) -> Query {
        Query::check(&HistoryRequest { target, ..Default::default() }, viewer).unwrap()
    }

    fn fits(target: Target, life: &Life) -> bool {
        query(Some(target), ROOT).fits(life)
    }

    #[test]
    fn each_target_has_its_own_rule() {
        let life = life(7, 1001, 100, Some(200));
        let address = |text: &str| fits(Target::Address(text.to_owned()), &life);
        assert!(address("2001:db8::7") && address("2001:DB8:0::0007") && address("2001:db8::/64"));
        assert!(address("2001:db8::1/64") && address("::/0") && !address("2001:db8::8"));
        let name = |text: &str| fits(Target::Name(text.to_owned()), &life);
        assert!(name("web7") && name("Web7") && !name("web"));
        let container = |text: &str| fits(Target::ContainerId(text.to_owned()), &life);
        assert!(container("c0ffee7") && container("c0ff") && !container("c0ffee77") && !container("ffee"));
        assert!(fits(Target::Uid(1001), &life) && !fits(Target::Uid(1002), &life));
    }

    #[test]
    fn users_see_their_own() {
        let (own, others) = (life(7, 1001, 100, None), life(8, 1002, 100, None));
        for target in [None, Some(Target::Address("2001:db8::/64".to_owned()))] {
            assert!(query(target.clone(), ALICE).fits(&own) && !query(target.clone(), ALICE).fits(&others));
            assert!(query(target, ROOT).fits(&others));
        }
        assert!(!query(Some(Target::Uid(1002)), ALICE).fits(&others));
    }

    #[test]
    fn times_narrow_it() {
        let (from, until) = (Some(at(150).into()), Some(at(160).into()));
        let query = Query::check(&HistoryRequest { from, until, ..Default::default() }, ROOT).unwrap();
        assert!(query.fits(&life(1, 0, 100, Some(150))) && query.fits(&life(1, 0, 160, None)));
        assert!(!query.fits(&life(1, 0, 100, Some(149))) && !query.fits(&life(1, 0, 161, None)));
        let backwards = HistoryRequest { from: until, until: from, ..Default::default() };
        assert!(matches!(Query::check(&backwards, ROOT), Err(Error::Backwards)));
        let endless = Some(Timestamp { seconds: i64::MAX, nanos: i32::MAX });
        let request = HistoryRequest { from: endless, ..Default::default() };
        assert!(matches!(Query::check(&request, ROOT), Err(Error::NotATime)));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for target in [
            Target::Address(String::new()),
            Target::Address("10.0.0.1".to_owned()),
            Target::Address("2001:db8::/129".to_owned()),
            Target::Address("\u{1b}".repeat(60_000)),
            Target::Name("../x".to_owned()),
            Target::ContainerId("a/b".to_owned()),
            Target::ContainerId("abc".to_owned()),
        ] {
            let request = HistoryRequest { target: Some(target), ..Default::default() };
            let refusal = Query::check(&request, ROOT).unwrap_err().to_string();
            assert!(refusal.len() < 500 && !refusal.chars().any(char::is_control), "{refusal}");
        }
        let limited = |limit| Query::check(&HistoryRequest { limit, ..Default::default() }, ROOT);
        assert_eq!((limited(0).unwrap().limit, limited(1000).unwrap().limit), (100, 1000));
        assert!(limited(1001).unwrap_err().to_string().contains("1001"));
    }
}

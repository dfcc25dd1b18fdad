//! From what is written to a policy that holds, or to all that is wrong with it, line by line.

use std::{path::Path, sync::Arc};

use toml::Spanned;

use super::{
    Limits, Origin, Pattern, Policy, Rate, Reservation, Rule, Terms,
    raw::{Count, Id, Port, Raw, RawReservation, RawRule},
    rule::{RATE, Whom},
};
use crate::{
    auth::users,
    config::Network,
    ipam::{self, Mode},
    model::NetworkName,
};

/// The most calls a minute, and at once, that can be written.
const RATES: std::ops::RangeInclusive<u32> = 1..=60_000;

/// Who knows the numbers of names.
#[derive(Clone, Copy)]
pub struct Directory {
    /// Of a user.
    pub uid: fn(&str) -> Option<u32>,
    /// Of a group.
    pub gid: fn(&str) -> Option<u32>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { uid: users::uid, gid: users::gid }
    }
}

/// What a check needs besides: the text and its path for messages, the networks, and where to note what is
/// wrong.
pub struct Check<'a> {
    /// The file's text, which spans point into.
    pub text: &'a str,
    /// The file's path.
    pub path: &'a Path,
    /// The networks.
    pub networks: &'a [Network],
    /// Who knows names.
    pub directory: Directory,
    /// What is wrong.
    pub reasons: &'a mut Vec<String>,
}

impl Policy {
    /// Checks what is written. What is wrong is noted; the policy is of no use then.
    pub fn check(raw: &Raw, mut with: Check<'_>) -> Self {
        let terms = with.networks.iter().map(|network| {
            let terms = Terms {
                fixed: network.allow_static,
                collision: network.collision.unwrap_or(raw.collision),
                sub_prefix: network.mode == Mode::Owner,
            };
            (network.name.clone(), terms)
        });
        let mut policy = Self { evict: raw.policy.evict, ..Self::new(terms.collect()) };
        policy.rules = raw.rules.iter().map(|rule| Arc::new(with.rule(rule))).collect();
        for name in &raw.reserved_names {
            let origin = with.origin(name);
            let pattern = name.get_ref().parse::<Pattern>();
            policy.reserved.extend(with.note("reserved_names", &origin, pattern).map(|one| (one, origin)));
        }
        for raw in &raw.reservations {
            if let Some(reservation) = with.reservation(raw, &policy) {
                policy.reservations.entry(reservation.name.clone()).or_default().push(reservation);
            }
        }
        policy
    }
}

impl Check<'_> {
    fn origin<T>(&self, spanned: &Spanned<T>) -> Origin {
        let before = self.text.get(..spanned.span().start).unwrap_or_default();
        Origin::Line { path: self.path.into(), line: before.matches('\n').count() + 1 }
    }

    /// Notes what is wrong. The path is told once, before all reasons.
    fn wrong(&mut self, key: &str, origin: &Origin, reason: impl std::fmt::Display) {
        let Origin::Line { line, .. } = origin else { return };
        self.reasons.push(format!("line {line}: {key}: {reason}"));
    }

    fn note<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        origin: &Origin,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.wrong(key, origin, error)).ok()
    }

    fn rule(&mut self, spanned: &Spanned<RawRule>) -> Rule {
        let (origin, raw) = (self.origin(spanned), spanned.get_ref());
        let empty = [
            ("users", raw.users.as_ref().is_some_and(Vec::is_empty)),
            ("groups", raw.groups.as_ref().is_some_and(Vec::is_empty)),
            ("networks", raw.networks.as_ref().is_some_and(Vec::is_empty)),
        ];
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            self.wrong(key, &origin, "is empty: leave it out to mean all");
        }
        let users = raw.users.iter().flatten().filter_map(|id| {
            let range = range_of(id).map_or_else(|| named_uid(id, self.directory), Ok);
            self.note("users", &origin, range)
        });
        let users = users.collect();
        let groups = raw.groups.iter().flatten().filter_map(|id| {
            let gid = self.gid(id);
            self.note("groups", &origin, gid)
        });
        let groups = groups.collect();
        let networks = raw.networks.iter().flatten().filter_map(|name| {
            let network = self.network(name);
            self.note("networks", &origin, network)
        });
        let networks = networks.collect();
        if !raw.allow && raw.limits_something() {
            self.wrong("allow", &origin, "is false, and there are limits: leave either out");
        }
        let limits = self.limits(raw, &origin);
        Rule { origin, whom: Whom { users, groups }, networks, allow: raw.allow, limits }
    }

    fn limits(&mut self, raw: &RawRule, origin: &Origin) -> Limits {
        let defaults = Limits::default();
        let patterns = raw.names.as_ref().map(|names| {
            let patterns =
                names.iter().filter_map(|name| self.note("names", origin, name.parse::<Pattern>()));
            patterns.collect()
        });
        let ports = raw.ports.as_ref().map(|ports| {
            let ranges = ports.iter().filter_map(|port| self.note("ports", origin, port_range(port)));
            merged(ranges.collect())
        });
        Limits {
            attachments: raw.attachments.map_or(defaults.attachments, Count::limit),
            addresses: raw.addresses.and_then(Count::limit),
            rate: self.rate(raw, origin),
            names: patterns,
            fixed: raw.fixed,
            ports,
            sub_prefix: raw.sub_prefix,
        }
    }

    fn rate(&mut self, raw: &RawRule, origin: &Origin) -> Option<Rate> {
        let per_minute = match raw.rate.map(Count::limit) {
            Some(None) if raw.burst.is_some() => {
                self.wrong("burst", origin, "has no meaning beside an unlimited rate");
                return None;
            }
            Some(None) => return None,
            Some(Some(number)) => number,
            None => RATE.per_minute,
        };
        let burst = raw.burst.unwrap_or(per_minute);
        for (key, number) in [("rate", per_minute), ("burst", burst)] {
            if !RATES.contains(&number) {
                self.wrong(key, origin, format!("{number} is not within 1 to 60000"));
            }
        }
        Some(Rate { per_minute, burst })
    }

    fn reservation(&mut self, spanned: &Spanned<RawReservation>, policy: &Policy) -> Option<Reservation> {
        let (origin, raw) = (self.origin(spanned), spanned.get_ref());
        let user = self.user(&raw.user);
        let user = self.note("user", &origin, user);
        let name = self.note("name", &origin, raw.name.parse());
        let network = self.network(&raw.network);
        let network = self.note("network", &origin, network)?;
        let found = self.networks.iter().find(|found| found.name == network)?;
        let free = if found.prefix.network().is_unspecified() {
            Err(format!("the network {network} has no prefix yet: write one"))
        } else if let Some(other) = policy.reservations().find(|other| other.address == raw.address) {
            Err(format!("{} is reserved by {} already", raw.address, other.origin))
        } else {
            ipam::usable(raw.address, found.prefix).map_err(|error| error.to_string())
        };
        self.note("address", &origin, free)?;
        let reservation = Reservation { origin, network, user: user?, name: name?, address: raw.address };
        let twice = policy.reservations().find(|other| {
            (&other.name, other.user, &other.network)
                == (&reservation.name, reservation.user, &reservation.network)
        });
        if let Some(other) = twice {
            let reason = format!("the same user and name have {} already", other.origin);
            self.wrong("name", &reservation.origin, reason);
        }
        Some(reservation)
    }

    fn network(&self, name: &str) -> Result<NetworkName, String> {
        let known = self.networks.iter().find(|network| network.name.as_str() == name);
        known.map(|network| network.name.clone()).ok_or_else(|| format!("there is no network {name:?}"))
    }

    fn user(&self, id: &Id) -> Result<u32, String> {
        match range_of(id) {
            Some((first, last)) if first == last => Ok(first),
            Some(_) => Err("name one user, and not a range".to_owned()),
            None => named_uid(id, self.directory).map(|(uid, _)| uid),
        }
    }

    fn gid(&self, id: &Id) -> Result<u32, String> {
        let name = match id {
            Id::Number(number) => return Ok(*number),
            Id::Text(text) => text,
        };
        let known = name.parse().ok().or_else(|| (self.directory.gid)(name));
        known.ok_or_else(|| format!("there is no group {name:?}: create it, or write its number"))
    }
}

/// The uids, if they are written as numbers.
fn range_of(id: &Id) -> Option<(u32, u32)> {
    let text = match id {
        Id::Number(number) => return Some((*number, *number)),
        Id::Text(text) => text,
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some((first, last))
}

fn named_uid(id: &Id, directory: Directory) -> Result<(u32, u32), String> {
    let Id::Text(name) = id else { return Err("not a name".to_owned()) };
    let uid = (directory.uid)(name);
    uid.map(|uid| (uid, uid))
        .ok_or_else(|| format!("there is no user {name:?}: create them, or write the uid or a range of uids"))
}

fn port_range(port: &Port) -> Result<(u16, u16), String> {
    let text = match port {
        Port::Number(port) => return Ok((*port, *port)),
        Port::Text(text) => text,
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(format!("{text:?} is neither a port nor a range of ports such as \"8000-8999\"")),
    }
}

/// The same ports in as few ranges as can be: whatever lies in them lies in one of them.
fn merged(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, former| {
        let joins = next.0 <= former.1.saturating_add(1);
        former.1 = if joins { former.1.max(next.1) } else { former.1 };
        joins
    });
    ranges
}

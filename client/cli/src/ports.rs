//! Ports as they are typed, and adding them to and taking them from those that are open.

use std::{fmt, str::FromStr};

/// A range of ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    protocol: String,
    first: u16,
    last: u16,
}

/// What it is not.
#[derive(Debug, thiserror::Error)]
#[error(
    "write PORT/PROTOCOL or FIRST-LAST/PROTOCOL, ports from 1 to 65535, the protocol tcp, udp, sctp or dccp"
)]
pub struct NotPorts;

impl FromStr for Ports {
    type Err = NotPorts;

    fn from_str(text: &str) -> Result<Self, NotPorts> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
        let known = ["tcp", "udp", "sctp", "dccp"].contains(&protocol);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if known && first > 0 && first <= last => {
                Ok(Self { protocol: protocol.to_owned(), first, last })
            }
            _ => Err(NotPorts),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last } = self;
        if first == last { write!(f, "{first}/{protocol}") } else { write!(f, "{first}-{last}/{protocol}") }
    }
}

impl Ports {
    /// What is left of it without another.
    fn without(&self, other: &Self) -> Vec<Self> {
        if self.protocol != other.protocol || other.last < self.first || self.last < other.first {
            return vec![self.clone()];
        }
        let below = (self.first < other.first).then(|| Self { last: other.first - 1, ..self.clone() });
        let above = (self.last > other.last).then(|| Self { first: other.last + 1, ..self.clone() });
        below.into_iter().chain(above).collect()
    }
}

/// The ports in what the daemon says of an attachment: none if it is "open" or "established".
pub fn read(inbound: &str) -> Vec<Ports> {
    inbound.split(',').filter_map(|part| part.parse().ok()).collect()
}

/// Whether both are lists of the same ports.
pub fn same(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut ports: Vec<Ports> = text.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        ports.sort_unstable();
        Some(ports)
    };
    sorted(one).is_some_and(|ports| Some(ports) == sorted(other))
}

/// As the daemon wants it: with no ports, "established".
pub fn write(ports: &[Ports]) -> String {
    match ports {
        [] => "established".to_owned(),
        _ => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// Those that are open, and these.
pub fn open(inbound: &str, more: &[Ports]) -> String {
    let mut ports = read(inbound);
    ports.extend_from_slice(more);
    ports.sort_unstable();
    ports.dedup();
    write(&ports)
}

/// Those of `these` of which nothing is open.
pub fn not_open(inbound: &str, these: &[Ports]) -> Vec<Ports> {
    let open = read(inbound);
    these
        .iter()
        .filter(|one| open.iter().all(|open| open.without(one)[..] == [open.clone()]))
        .cloned()
        .collect()
}

/// Those that are open, without these.
pub fn close(inbound: &str, fewer: &[Ports]) -> String {
    let without = |ports: Vec<Ports>, gone: &Ports| ports.iter().flat_map(|one| one.without(gone)).collect();
    write(&fewer.iter().fold(read(inbound), without))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Vec<Ports> {
        text.split(' ').map(|part| part.parse().unwrap()).collect()
    }

    #[test]
    fn typing_errors_are_seen() {
        for text in ["", "x", "0", "65536", "2-1", "80/http", "80/", "+80", "80-/tcp"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
        assert_eq!(write(&ports("80 1-2/udp")), "80/tcp,1-2/udp");
    }

    #[test]
    fn the_same_ports_may_be_written_in_other_ways() {
        assert!(same("80,5-6/udp", "5-6/udp,80/tcp"));
        for (one, other) in [("80", "80/udp"), ("80", "80,81"), ("open", "open"), ("80", "open"), ("", "")] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn ports_are_added_and_taken_away() {
        assert_eq!(open("open", &ports("80")), "80/tcp");
        assert_eq!(open("established", &ports("80")), "80/tcp");
        assert_eq!(open("80/tcp,1/udp", &ports("80 443")), "80/tcp,443/tcp,1/udp");
        assert_eq!(close("80/tcp,443/tcp", &ports("80")), "443/tcp");
        assert_eq!(close("80/tcp", &ports("80")), "established");
        assert_eq!(close("80-90/tcp", &ports("85 89-95")), "80-84/tcp,86-88/tcp");
        assert_eq!(close("80/tcp", &ports("80/udp 81")), "80/tcp");
        assert_eq!(not_open("80-90/tcp", &ports("80 80/udp 85-99 91")), ports("80/udp 91"));
        assert_eq!(not_open("established", &ports("80")), ports("80"));
    }
}

//! The checked `[dns]` table.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use hickory_proto::rr;

use crate::registry::config::{Invalid, RawDns, is_domain};

/// The port of DNS (RFC 1035, section 4.2).
const PORT: u16 = 53;

/// The longest time to live accepted, in seconds.
const LONGEST_TTL: u32 = 86_400;

/// Who is asked for names that are not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// These, in turn.
    To(Vec<SocketAddr>),
    /// The `nameserver` lines of this file, which is read again as it changes.
    ResolvConf(PathBuf),
}

/// The built-in DNS, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The domain of our names: fully qualified and lower-case.
    pub(super) zone: rr::Name,
    /// Upstream.
    pub(super) forward: Forward,
    /// Time to live of our answers, also of negative ones, in seconds.
    pub(super) ttl: u32,
}

impl Config {
    /// Checks the table, adding what is wrong to `wrong`.
    pub(in crate::registry) fn check(
        raw: &RawDns,
        resolv_conf: &Path,
        wrong: &mut Vec<Invalid>,
    ) -> Option<Self> {
        let zone = zone(&raw.zone);
        if zone.is_none() {
            wrong.push(Invalid::Zone(raw.zone.clone()));
        }
        if raw.ttl > LONGEST_TTL {
            wrong.push(Invalid::Ttl(raw.ttl));
        }
        let forward = match &raw.forward {
            None => Forward::ResolvConf(resolv_conf.to_owned()),
            Some(servers) => Forward::To(servers.iter().filter_map(|text| server(text, wrong)).collect()),
        };
        zone.map(|zone| Self { zone, forward, ttl: raw.ttl })
    }
}

fn zone(text: &str) -> Option<rr::Name> {
    let domain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    // Reverse zones are answered by prefix; a zone in their place would hide the rest of arpa.
    if !is_domain(&domain) || domain == "arpa" || domain.ends_with(".arpa") {
        return None;
    }
    rr::Name::from_ascii(domain + ".").ok()
}

fn server(text: &str, wrong: &mut Vec<Invalid>) -> Option<SocketAddr> {
    let parsed = parse_server(text);
    if parsed.is_none() {
        wrong.push(Invalid::Forward(text.to_owned()));
    }
    parsed
}

/// An address, with the port of DNS unless another is given.
pub(super) fn parse_server(text: &str) -> Option<SocketAddr> {
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    plain.or_else(|_| text.parse()).ok().filter(|server: &SocketAddr| server.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_and_without_port() {
        assert_eq!(parse_server("192.0.2.1"), "192.0.2.1:53".parse().ok());
        assert_eq!(parse_server("2001:db8::1"), "[2001:db8::1]:53".parse().ok());
        assert_eq!(parse_server("[2001:db8::1]:5353"), "[2001:db8::1]:5353".parse().ok());
        assert_eq!(parse_server("192.0.2.1:0"), None);
        assert_eq!(parse_server("localhost"), None);
    }
}

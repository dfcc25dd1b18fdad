//! MAC addresses, and the address that belongs to each: prefix ‖ MAC.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// A 48-bit MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The MAC in the low 48 bits of an address.
    pub fn of(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        Self([octets[10], octets[11], octets[12], octets[13], octets[14], octets[15]])
    }

    /// The low 48 bits of `value`.
    pub fn from_bits(value: u64) -> Self {
        let b = value.to_be_bytes();
        Self([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// The address of this MAC in a prefix of at most 80 bits: what lies between the prefix and the
    /// MAC is zero.
    pub fn in_prefix(self, prefix: Ipv6Net) -> Ipv6Addr {
        let mut octets = prefix.network().octets();
        octets[10..].copy_from_slice(&self.0);
        Ipv6Addr::from(octets)
    }

    /// The link-local address made from the MAC as RFC 4291, appendix A, has it.
    pub fn link_local(self) -> Ipv6Addr {
        let m = self.0;
        let word = |a: u8, b: u8| u16::from_be_bytes([a, b]);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            word(m[0] ^ 2, m[1]),
            word(m[2], 0xff),
            word(0xfe, m[3]),
            word(m[4], m[5]),
        )
    }

    /// Whether a link may have it: not a group address and not all zeros (IEEE 802, clause 8).
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six hexadecimal octets with colons.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a MAC address such as 02:00:5e:10:00:01")]
pub struct NotAMac(String);

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let refuse = || NotAMac(text.chars().take(32).collect());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(refuse)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        parts.next().map_or(Ok(Self(octets)), |_| Err(refuse()))
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_prefix_and_its_mac() {
        let prefix: Ipv6Net = "2001:db8:1:2:3::/80".parse().unwrap();
        let mac: Mac = "06:11:22:33:44:55".parse().unwrap();
        let address = mac.in_prefix(prefix);
        assert_eq!(address.to_string(), "2001:db8:1:2:3:611:2233:4455");
        assert_eq!(Mac::of(address), mac);
        assert_eq!(mac.link_local().to_string(), "fe80::411:22ff:fe33:4455");
    }

    #[test]
    fn a_shorter_prefix_leaves_zeros_between() {
        let mac: Mac = "06:11:22:33:44:55".parse().unwrap();
        let address = mac.in_prefix("fd00:1:2:3::/64".parse().unwrap());
        assert_eq!(address.to_string(), "fd00:1:2:3:0:611:2233:4455");
    }

    #[test]
    fn text_that_is_no_mac_is_refused() {
        for text in ["", "06:11:22:33:44", "06:11:22:33:44:55:66", "6:11:22:33:44:55", "06:11:22:33:44:+5"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        assert!(!Mac([1, 0, 0, 0, 0, 0]).is_unicast());
        assert!(!Mac([0; 6]).is_unicast());
    }
}

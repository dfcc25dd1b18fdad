//! How a MAC is chosen. All that we choose are locally administered unicast addresses: the low two
//! bits of the first octet are 10 (IEEE 802, clause 8.4).

use std::hash::Hasher as _;

use serde::Deserialize;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Applicant;
use crate::model::Mac;

/// How addresses are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A keyed hash of network, owner and name: a container keeps its address over restarts, and who
    /// knows the key can foretell it.
    #[default]
    Stable,
    /// Any.
    Random,
    /// One after the other.
    Sequential,
    /// The owner's uid is readable in the address, so one prefix is one user.
    Owner,
    /// The caller has to say.
    Static,
}

/// The OUI-like first octets of counted addresses.
const SEQUENTIAL: u64 = 0x0200_0000_0000;
/// uids of up to six decimal digits are written in decimal: `06:00:10:01:cc:cc` is uid 1001.
const OWNER_DECIMAL: u64 = 0x0600_0000_0000;
const LAST_DECIMAL: u32 = 999_999;
/// Longer ones in hexadecimal: `0a:uu:uu:uu:uu:cc`.
const OWNER_WIDE: u64 = 0x0a00_0000_0000;

impl Mode {
    /// What its counter belongs to: one for all, or one for each owner.
    pub(super) fn cursor(self, uid: u32) -> Option<u32> {
        (self == Self::Owner).then_some(uid)
    }

    /// Whether it counts.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Sequential | Self::Owner)
    }

    /// The MAC to try at this attempt.
    pub(super) fn candidate(
        self,
        key: &[u8; 16],
        network: &str,
        applicant: &Applicant<'_>,
        start: u64,
        attempt: u32,
    ) -> Mac {
        let count = start + u64::from(attempt);
        match self {
            Self::Stable if !applicant.label.is_empty() => {
                local(hash(key, &[network, applicant.label], applicant.uid, attempt))
            }
            Self::Stable | Self::Random | Self::Static => {
                local(hash(key, &[network], applicant.uid, attempt) ^ applicant.random)
            }
            Self::Sequential => Mac::from_bits(SEQUENTIAL | (count & 0xff_ffff_ffff)),
            Self::Owner => owned(applicant.uid, count),
        }
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Random => "random",
            Self::Sequential => "sequential",
            Self::Owner => "owner",
            Self::Static => "static",
        }
    }
}

/// The first MAC of a user's own prefix, and the length of that. It can be counted on with [`owned`].
pub(super) fn own(uid: u32) -> (Mac, u8) {
    (owned(uid, 0), if uid <= LAST_DECIMAL { 112 } else { 120 })
}

/// Whether it lies where such prefixes are.
pub(super) fn is_own(mac: Mac) -> bool {
    [OWNER_DECIMAL, OWNER_WIDE].iter().any(|first| mac.0[0] == Mac::from_bits(*first).0[0])
}

/// Why nobody may have a MAC, if so.
pub(super) fn reserved(mac: Mac) -> Option<&'static str> {
    if mac.0 == [0, 0, 0, 0, 0, 1] {
        return Some("it is the gateway");
    }
    if mac.0 == [0; 6] {
        return Some("it is the subnet-router anycast address (RFC 4291, section 2.6.1)");
    }
    if !mac.is_unicast() {
        return Some("its last 48 bits would be a group MAC address");
    }
    if mac.0[..2] == [0x02, 0x42] {
        return Some("02:42 is Docker's");
    }
    None
}

fn local(bits: u64) -> Mac {
    let mut mac = Mac::from_bits(bits);
    mac.0[0] = mac.0[0] & 0xfc | 0x02;
    mac
}

fn owned(uid: u32, count: u64) -> Mac {
    if uid <= LAST_DECIMAL {
        let digits = (0..6).fold((u64::from(uid), 0), |(rest, digits), place| {
            (rest / 10, digits | (rest % 10) << (4 * place))
        });
        Mac::from_bits(OWNER_DECIMAL | digits.1 << 16 | (count & 0xffff))
    } else {
        Mac::from_bits(OWNER_WIDE | u64::from(uid) << 8 | (count & 0xff))
    }
}

fn hash(key: &[u8; 16], texts: &[&str], uid: u32, attempt: u32) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    for text in texts {
        // With the length, so that no two lists run together to the same octets.
        hasher.write_usize(text.len());
        hasher.write(text.as_bytes());
    }
    hasher.write_u32(uid);
    hasher.write_u32(attempt);
    hasher.finish128().h1
}

//! `[[rule]]`, `[[reservation]]` and what else of the configuration is policy, as it is written.

use std::net::Ipv6Addr;

use serde::Deserialize;
use toml::Spanned;

use super::Collision;

/// All of it, as written.
#[derive(Debug, Default)]
pub struct Raw {
    /// `[[rule]]`.
    pub rules: Vec<Spanned<RawRule>>,
    /// `[[reservation]]`.
    pub reservations: Vec<Spanned<RawReservation>>,
    /// `reserved_names`.
    pub reserved_names: Vec<Spanned<String>>,
    /// `collision`.
    pub collision: Collision,
    /// `[policy]`.
    pub policy: RawPolicy,
}

/// `[policy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPolicy {
    /// Whether a reload ends what the new rules forbid.
    pub evict: bool,
}

/// `[[rule]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    /// Names, uids and ranges of uids.
    pub(super) users: Option<Vec<Id>>,
    /// Names and gids.
    pub(super) groups: Option<Vec<Id>>,
    /// Networks.
    pub(super) networks: Option<Vec<String>>,
    /// Whether they may be used.
    pub(super) allow: bool,
    /// At once, on all networks.
    pub(super) attachments: Option<Count>,
    /// At once, on one.
    pub(super) addresses: Option<Count>,
    /// A minute.
    pub(super) rate: Option<Count>,
    /// At once.
    pub(super) burst: Option<u32>,
    /// Patterns.
    pub(super) names: Option<Vec<String>>,
    /// Whether addresses may be chosen.
    #[serde(rename = "static")]
    pub(super) fixed: Option<bool>,
    /// Which ports may be opened.
    pub(super) ports: Option<Vec<Port>>,
    /// Whether the addresses lie in a prefix of the user's own.
    pub(super) sub_prefix: bool,
}

impl Default for RawRule {
    fn default() -> Self {
        Self {
            users: None,
            groups: None,
            networks: None,
            allow: true,
            attachments: None,
            addresses: None,
            rate: None,
            burst: None,
            names: None,
            fixed: None,
            ports: None,
            sub_prefix: false,
        }
    }
}

/// `[[reservation]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawReservation {
    /// The network of the address.
    pub(super) network: String,
    /// Whose: a name or a uid.
    pub(super) user: Id,
    /// The name.
    pub(super) name: String,
    /// The address.
    pub(super) address: Ipv6Addr,
}

/// A user or a group.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a name, a number, or a range of numbers such as \"2000-2999\"")]
pub(super) enum Id {
    Number(u32),
    Text(String),
}

/// A limit.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "a number or \"unlimited\"")]
pub(super) enum Count {
    Number(u32),
    Word(Unlimited),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unlimited {
    Unlimited,
}

impl Count {
    /// The limit, if it is one.
    pub(super) fn limit(self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number),
            Self::Word(Unlimited::Unlimited) => None,
        }
    }
}

/// A port.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a port or a range of ports such as \"8000-8999\"")]
pub(super) enum Port {
    Number(u16),
    Text(String),
}

impl RawRule {
    /// Whether it says how much of anything.
    pub(super) fn limits_something(&self) -> bool {
        let numbers = [self.attachments.is_some(), self.addresses.is_some(), self.rate.is_some()];
        let others = [self.burst.is_some(), self.names.is_some(), self.fixed.is_some(), self.ports.is_some()];
        self.sub_prefix || numbers.into_iter().chain(others).any(|given| given)
    }
}

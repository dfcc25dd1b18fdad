//! Why a rule says no, where it stands, and what is left of the quota.

use std::{fmt, time::Duration};

use ipnet::Ipv6Net;

use super::{Origin, Rate};
use crate::model::{Inbound, Name, NetworkName};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is about.
    pub why: Why,
    /// Which line says so.
    pub origin: Origin,
    /// What is left of the quota, if that is of use to know.
    pub left: Option<Left>,
}

/// What a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The network.
    Forbidden,
    /// The name, and which names would do.
    Name(Name, String),
    /// The name, which nobody may have.
    ReservedName(Name),
    /// An address of the caller's choice.
    Fixed,
    /// What would be opened.
    Ports(Inbound),
    /// The name or the address, which is kept for another.
    Reserved,
    /// The address, which lies outside the user's own prefix.
    Elsewhere(Ipv6Net),
    /// Too many attachments; so many are allowed.
    Attachments(u32),
    /// Too many on this network; so many are allowed.
    Addresses(NetworkName, u32),
    /// Too often; so long until the next.
    Rate(Rate, Duration),
}

impl Why {
    /// Whether the same request may be granted at another time.
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Self::Attachments(_) | Self::Addresses(..) | Self::Rate(..))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden => f.write_str("you may not attach here"),
            Self::Name(name, wanted) => {
                write!(f, "you may not use the name {name}: yours have to fit {wanted}")
            }
            Self::ReservedName(name) => write!(f, "the name {name} is reserved"),
            Self::Fixed => f.write_str("you may not choose an address"),
            Self::Ports(Inbound::Open) => f.write_str("you may not open all ports: name those to be opened"),
            Self::Ports(inbound) => write!(f, "you may not open {inbound}"),
            Self::Reserved => f.write_str("its name or address is reserved for another"),
            Self::Elsewhere(prefix) => write!(f, "its address lies outside {prefix}"),
            Self::Attachments(most) => {
                write!(f, "you have all {most} attachments that you may have: detach one")
            }
            Self::Addresses(network, most) => {
                write!(f, "you have all {most} addresses that you may have on {network}: detach one")
            }
            Self::Rate(rate, wait) => write!(
                f,
                "you may attach and expose {} times a minute, {} at once: try again in {} s",
                rate.per_minute,
                rate.burst,
                wait.as_millis().div_ceil(1000)
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rule: {}", self.why, self.origin)?;
        self.left.as_ref().map_or(Ok(()), |left| write!(f, "; left: {left}"))?;
        f.write_str(")")
    }
}

impl std::error::Error for Refusal {}

/// A limit and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The limit; none: there is none.
    pub limit: Option<u32>,
    /// What is used.
    pub used: u32,
}

impl Quota {
    /// What is left; none: without limit.
    pub fn left(self) -> Option<u32> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.left(), self.limit) {
            (Some(left), Some(limit)) => write!(f, "{left} of {limit}"),
            _ => f.write_str("unlimited"),
        }
    }
}

/// What is left to a user under one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Attachments on all networks.
    pub attachments: Quota,
    /// Attachments on the network.
    pub addresses: Quota,
    /// Calls of Activate and Expose at this moment.
    pub activations: Quota,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attachments", self.attachments)?;
        if self.addresses.limit.is_some() {
            write!(f, ", {} addresses here", self.addresses)?;
        }
        write!(f, ", {} activations", self.activations)
    }
}

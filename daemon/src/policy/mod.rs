//! May this caller have what it asks for? A pure function: no I/O, no clock.
//!
//! [`Wish`] checks the request, [`Policy::judge`] finds the rule that decides, and the service, which alone
//! can count, holds the result against the quota. Every refusal says which line it comes from. A policy is
//! never changed: a reload puts another in its place.
//!
//! A [`Grant`] can only be made here, from a [`Peer`] and a proven [`Namespace`], and everything behind
//! this point takes a grant: code that was not authorised does not compile.

mod check;
mod decide;
mod pattern;
mod rates;
mod raw;
mod refusal;
mod rule;

use std::net::Ipv6Addr;

use v6pod_proto::v1::ActivateRequest;

pub use self::{
    check::{Check, Directory},
    decide::{Asked, Denial, Policy, Reservation, Ruling, Subject, Terms},
    pattern::Pattern,
    rates::Rates,
    raw::{Raw, RawPolicy, RawReservation, RawRule},
    refusal::{Left, Quota, Refusal, Why},
    rule::{Collision, Limits, Origin, Rate, Rule},
};
use crate::{
    auth::{Namespace, Peer},
    model::{ContainerId, Inbound, InterfaceName, Invalid, Mac, Name, NetworkName, Tag},
};

/// The interface inside, unless the caller wants another name for it: beside slirp4netns' `tap0` and
/// whatever pasta copies from the host.
const INTERFACE: &str = "v6pod0";
/// The most aliases, and the most tags.
const MOST: usize = 16;
/// What IPv6 asks of a link at least: RFC 8200, section 5.
const LEAST_MTU: u32 = 1280;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is malformed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The address is none.
    #[error("the address {0:?} is not an IPv6 address")]
    NotAnAddress(String),
    /// The MAC is none, or no link may have it.
    #[error("the MAC {0:?} is not the address of one interface, such as 02:00:5e:10:00:01")]
    NotAMac(String),
    /// Address and MAC contradict each other.
    #[error("the address {address} does not end in the MAC {mac}: give one of them")]
    Disagree {
        /// The address.
        address: Ipv6Addr,
        /// The MAC.
        mac: Mac,
    },
    /// Too much of something.
    #[error("{given} {what} are more than {MOST}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there were.
        given: usize,
    },
    /// The MTU is too small for IPv6.
    #[error("an MTU of {0} is less than the 1280 that IPv6 needs")]
    SmallMtu(u32),
}

/// What a caller wants, checked field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The network; none: the default one.
    pub network: Option<NetworkName>,
    /// The container.
    pub container_id: Option<ContainerId>,
    /// Its name.
    pub name: Option<Name>,
    /// The interface inside.
    pub interface: InterfaceName,
    /// A fixed address.
    pub address: Option<Ipv6Addr>,
    /// A fixed MAC, and so a fixed address.
    pub mac: Option<Mac>,
    /// An MTU below the network's, in octets.
    pub mtu: Option<u32>,
    /// Further names.
    pub aliases: Vec<Name>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Whether it wants a default route.
    pub default_route: bool,
    /// What may reach it; none: everything.
    pub inbound: Option<Inbound>,
}

impl Wish {
    /// Checks a request. Nothing else has been touched yet.
    ///
    /// # Errors
    /// Which field is malformed, and what it may be.
    pub fn check(request: &ActivateRequest) -> Result<Self, Error> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let address = given(&request.address)
            .map(|text| text.parse().map_err(|_| Error::NotAnAddress(text.chars().take(64).collect())))
            .transpose()?;
        let mac = given(&request.mac).map(|text| mac(&text)).transpose()?;
        if let (Some(address), Some(mac)) = (address, mac)
            && Mac::of(address) != mac
        {
            return Err(Error::Disagree { address, mac });
        }
        if (1..LEAST_MTU).contains(&request.mtu) {
            return Err(Error::SmallMtu(request.mtu));
        }
        for (what, given) in [("aliases", request.aliases.len()), ("tags", request.tags.len())] {
            if given > MOST {
                return Err(Error::TooMany { what, given });
            }
        }
        Ok(Self {
            network: given(&request.network).map(|text| text.parse()).transpose()?,
            container_id: given(&request.container_id).map(|text| text.parse()).transpose()?,
            name: given(&request.name).map(|text| Name::from_container(&text)).transpose()?,
            interface: given(&request.interface).as_deref().unwrap_or(INTERFACE).parse()?,
            address,
            mac,
            mtu: (request.mtu != 0).then_some(request.mtu),
            aliases: request
                .aliases
                .iter()
                .map(|text| Name::from_container(text))
                .collect::<Result<_, _>>()?,
            tags: request.tags.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            default_route: !request.no_default_route,
            inbound: given(&request.inbound).map(|text| text.parse()).transpose()?,
        })
    }
}

impl Wish {
    /// As far as rules speak about it.
    pub fn asked<'a>(&'a self, default: &'a NetworkName) -> Asked<'a> {
        Asked {
            network: self.network.as_ref().unwrap_or(default),
            named: self.network.is_some(),
            name: self.name.as_ref(),
            aliases: &self.aliases,
            address: self.address,
            mac: self.mac,
        }
    }
}

fn mac(text: &str) -> Result<Mac, Error> {
    let refuse = || Error::NotAMac(text.chars().take(32).collect());
    text.parse::<Mac>().ok().filter(|mac| mac.is_unicast()).ok_or_else(refuse)
}

/// What a user may have by the rules. Whose namespace it is for is still to be proven.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    peer: Peer,
    subject: Subject,
    wish: Wish,
    ruling: Ruling,
}

impl Permit {
    /// Decides. `default` is the network of those who name none.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn decide(
        policy: &Policy,
        peer: Peer,
        subject: &Subject,
        wish: Wish,
        default: &NetworkName,
    ) -> Result<Self, Denial> {
        let ruling = policy.judge(subject, &wish.asked(default))?;
        Ok(Self { peer, subject: subject.clone(), wish, ruling })
    }

    /// Who asks.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Who that is to the rules.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What is asked for.
    pub fn wish(&self) -> &Wish {
        &self.wish
    }

    /// What the rule says.
    pub fn ruling(&self) -> &Ruling {
        &self.ruling
    }

    /// The parts, to decide again as somebody else.
    pub fn into_parts(self) -> (Peer, Subject, Wish) {
        (self.peer, self.subject, self.wish)
    }
}

/// The right to attach one namespace for one user.
#[derive(Debug)]
#[must_use]
pub struct Grant {
    namespace: Namespace,
    permit: Permit,
}

impl Grant {
    /// Joins what the rules allow and the namespace that was proven to be the caller's.
    pub fn new(permit: Permit, namespace: Namespace) -> Self {
        Self { namespace, permit }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The owner.
    pub fn peer(&self) -> &Peer {
        self.permit.peer()
    }

    /// The owner, to the rules.
    pub fn subject(&self) -> &Subject {
        self.permit.subject()
    }

    /// What is granted.
    pub fn wish(&self) -> &Wish {
        self.permit.wish()
    }

    /// By which rule.
    pub fn ruling(&self) -> &Ruling {
        self.permit.ruling()
    }
}

#[cfg(test)]
mod tests;

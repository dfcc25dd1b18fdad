//! May this caller have what it asks for? A pure function: no I/O, no clock.
//!
//! A [`Grant`] can only be made here, from a [`Peer`] and a proven [`Namespace`], and everything behind
//! this point takes a grant: code that was not authorised does not compile.

use std::net::Ipv6Addr;

use v6pod_proto::v1::ActivateRequest;

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

fn mac(text: &str) -> Result<Mac, Error> {
    let refuse = || Error::NotAMac(text.chars().take(32).collect());
    text.parse::<Mac>().ok().filter(|mac| mac.is_unicast()).ok_or_else(refuse)
}

/// The right to attach one namespace for one user.
#[derive(Debug)]
#[must_use]
pub struct Grant {
    namespace: Namespace,
    peer: Peer,
    wish: Wish,
}

impl Grant {
    /// Decides.
    ///
    /// # Errors
    /// The rule that forbids it. (So far, whoever owns a namespace may attach it.)
    pub fn decide(peer: Peer, namespace: Namespace, wish: Wish) -> Result<Self, Error> {
        Ok(Self { namespace, peer, wish })
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The owner.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What is granted.
    pub fn wish(&self) -> &Wish {
        &self.wish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked_one_by_one() {
        let wish =
            Wish::check(&ActivateRequest { name: "Quirky_Bardeen".into(), ..Default::default() }).unwrap();
        assert_eq!(wish.name.unwrap().as_str(), "quirky-bardeen");
        assert_eq!(wish.interface.as_str(), "v6pod0");
        assert!(wish.default_route && wish.network.is_none() && wish.address.is_none());
        for request in [
            ActivateRequest { name: "a b".into(), ..Default::default() },
            ActivateRequest { container_id: "../x".into(), ..Default::default() },
            ActivateRequest { network: "a\nb".into(), ..Default::default() },
            ActivateRequest { interface: "a/b".into(), ..Default::default() },
            ActivateRequest { address: "10.0.0.1".into(), ..Default::default() },
            ActivateRequest { address: "x".repeat(65_536), ..Default::default() },
            ActivateRequest { mac: "01:00:5e:00:00:01".into(), ..Default::default() },
            ActivateRequest {
                mac: "02:00:00:00:00:01".into(),
                address: "2001:db8::2".into(),
                ..Default::default()
            },
            ActivateRequest { mtu: 1279, ..Default::default() },
            ActivateRequest { aliases: vec!["a".into(); 17], ..Default::default() },
            ActivateRequest { tags: vec!["a b".into()], ..Default::default() },
            ActivateRequest { inbound: "80/http".into(), ..Default::default() },
        ] {
            let error = Wish::check(&request).unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
    }
}

//! May this caller have what it asks for? A pure function: no I/O, no clock.
//!
//! A [`Grant`] can only be made here, from a [`Peer`] and a proven [`Namespace`], and everything behind
//! this point takes a grant: code that was not authorised does not compile.

use std::net::Ipv6Addr;

use v6pod_proto::v1::ActivateRequest;

use crate::{
    auth::{Namespace, Peer},
    model::{ContainerId, InterfaceName, Invalid, Name, NetworkName},
};

/// The interface inside, unless the caller wants another name for it: beside slirp4netns' `tap0` and
/// whatever pasta copies from the host.
const INTERFACE: &str = "v6pod0";

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is malformed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The address is none.
    #[error("the address {0:?} is not an IPv6 address")]
    NotAnAddress(String),
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
    /// Whether it wants a default route.
    pub default_route: bool,
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
        Ok(Self {
            network: given(&request.network).map(|text| text.parse()).transpose()?,
            container_id: given(&request.container_id).map(|text| text.parse()).transpose()?,
            name: given(&request.name).map(|text| Name::from_container(&text)).transpose()?,
            interface: given(&request.interface).as_deref().unwrap_or(INTERFACE).parse()?,
            address,
            default_route: !request.no_default_route,
        })
    }
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
        ] {
            let error = Wish::check(&request).unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
    }
}

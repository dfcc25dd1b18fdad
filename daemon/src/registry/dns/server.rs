//! What happens to a message, whichever socket it came from.

use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hickory_proto::op::ResponseCode;
use ipnet::Ipv6Net;

use super::forward::{ForwardError, Forwarder};
use super::gate::{Gate, Limits, Owner, Pass};
use super::owners::Owners;
use super::wire::{self, Incoming, Request, Transport};
use super::zone::Zone;

/// Forwarded queries in flight.
const FORWARDS: Limits = Limits { total: 256, per_owner: 64 };

/// TCP connections.
const CONNECTIONS: Limits = Limits { total: 256, per_owner: 64 };

/// What is to be done with a message.
#[derive(Debug)]
pub enum Action {
    /// Nothing.
    Ignore,
    /// Send this.
    Reply(Vec<u8>),
    /// Ask upstream with [`Server::forward`].
    Forward(Request, Pass),
}

/// The zones, the way upstream, and who may ask.
#[derive(Debug)]
pub struct Server {
    zone: RwLock<Zone>,
    forwarder: Forwarder,
    prefixes: Vec<Ipv6Net>,
    own: Vec<IpAddr>,
    owners: RwLock<Owners>,
    forwards: Gate,
    connections: Gate,
}

impl Server {
    /// Serves hosts within `prefixes` and this host itself, which asks from loopback or from one of the
    /// addresses it listens on.
    pub fn new(zone: Zone, forwarder: Forwarder, prefixes: Vec<Ipv6Net>, listen: &[SocketAddr]) -> Self {
        Self {
            zone: RwLock::new(zone),
            forwarder,
            prefixes,
            own: listen.iter().map(SocketAddr::ip).collect(),
            owners: RwLock::default(),
            forwards: Gate::new(FORWARDS),
            connections: Gate::new(CONNECTIONS),
        }
    }

    /// The zones, to read.
    pub fn zone(&self) -> RwLockReadGuard<'_, Zone> {
        self.zone.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The zones, to change.
    pub fn zone_mut(&self) -> RwLockWriteGuard<'_, Zone> {
        self.zone.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose addresses are whose, to change.
    pub fn owners_mut(&self) -> RwLockWriteGuard<'_, Owners> {
        self.owners.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom this client is counted to, if it is served.
    pub fn admit(&self, client: IpAddr) -> Option<Owner> {
        let client = client.to_canonical();
        if client.is_loopback() || self.own.contains(&client) {
            return Some(Owner::Host);
        }
        let inside = match client {
            IpAddr::V6(address) => self.prefixes.iter().any(|prefix| prefix.contains(&address)),
            IpAddr::V4(_) => false,
        };
        inside.then(|| self.owners.read().unwrap_or_else(PoisonError::into_inner).of(client))
    }

    /// Room for one more connection of this client, if it is served.
    pub fn connect(&self, client: IpAddr) -> Option<Pass> {
        self.connections.enter(self.admit(client)?)
    }

    /// Reads a message and says what is to be done.
    pub fn receive(&self, bytes: &[u8], client: IpAddr, transport: Transport) -> Action {
        let request = match wire::read(bytes, transport) {
            Incoming::Noise => return Action::Ignore,
            Incoming::Bad(reply) => return Action::Reply(reply),
            Incoming::Question(request) => request,
        };
        let Some(owner) = self.admit(client) else {
            return Action::Reply(request.error(ResponseCode::Refused));
        };
        if let Some(reply) = request.answer(&self.zone()) {
            return Action::Reply(reply);
        }
        match self.forwards.enter(owner) {
            Some(pass) => Action::Forward(request, pass),
            None => Action::Reply(request.error(ResponseCode::ServFail)),
        }
    }

    /// Asks upstream, and makes a reply of whatever comes of it.
    pub async fn forward(&self, request: &Request, pass: Pass) -> Vec<u8> {
        let answer = self.forwarder.ask(request).await;
        drop(pass);
        answer.unwrap_or_else(|error| {
            tracing::debug!(name = ?request.query().name().to_ascii(), %error, "not forwarded");
            match error {
                ForwardError::NoUpstream => request.error(ResponseCode::Refused),
                ForwardError::Silence(_) => request.error(ResponseCode::ServFail),
            }
        })
    }
}

//! Names: registries follow committed attachments and never delay or fail one.
//!
//! Every call of a [`Registry`] changes memory and returns. The built-in [`dns`] answers from that memory;
//! [`consul`] has a task of its own that brings the agent to what the memory wants, however long the agent
//! is away. The service publishes after commit and withdraws before detach, and after a restart publishes
//! all restored attachments again: a registry keeps nothing on disk.

mod config;
pub mod consul;
pub mod dns;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::Ipv6Net;

pub use self::config::{Config, Invalid, RawConsul, RawDns};
pub use self::consul::Instance;
use crate::model::{AttachmentId, Name, Record};

/// Follows committed attachments. Every call returns at once and cannot fail: a registry that is away
/// catches up by itself.
pub trait Registry: Send + Sync {
    /// Makes the name known. Idempotent, also for a changed record of the same id.
    fn publish(&self, record: &Record);
    /// Makes the name forgotten, and whose the address was. Idempotent, also for an unknown id.
    fn withdraw(&self, id: AttachmentId);
    /// Tells whose an attachment's address is, with a name or without: the user it is charged to. For
    /// registries that containers ask.
    fn assign(&self, _id: AttachmentId, _address: Ipv6Addr, _account: u32) {}
    /// How the registry is.
    fn status(&self) -> Status {
        self.status_for(&|_| true)
    }
    /// How it is for somebody who may know these addresses of the host's networks and no others.
    fn status_for(&self, shows: &dyn Fn(IpAddr) -> bool) -> Status;
    /// The name as others ask for it, without a final dot: `web.v6pod`, `web.service.consul`.
    fn full_name(&self, name: &Name) -> String;
    /// What is amiss for this record, in one sentence, from what is known without asking anybody.
    fn check(&self, record: &Record) -> Option<String>;
}

/// How a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `dns` or `consul`.
    pub kind: &'static str,
    /// Where it listens, or whom it talks to.
    pub endpoint: String,
    /// Whether what is published can be asked for.
    pub healthy: bool,
    /// Why not.
    pub error: Option<String>,
    /// How many records are to be known.
    pub names: usize,
}

/// The host as the registries need to know it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the built-in DNS listens, UDP and TCP: port 53 of each network's gateway.
    pub listen: Vec<SocketAddr>,
    /// The networks' prefixes: who may ask, and whose reverse zones are ours.
    pub prefixes: Vec<Ipv6Net>,
    /// What tells this daemon's entries from another's at the same Consul agent.
    pub instance: Instance,
}

/// All registries that are switched on.
#[derive(Default)]
pub struct Registries(Vec<Box<dyn Registry>>);

impl Registries {
    /// Puts registries together.
    pub fn new(registries: Vec<Box<dyn Registry>>) -> Self {
        Self(registries)
    }

    /// Publishes to each.
    pub fn publish(&self, record: &Record) {
        self.0.iter().for_each(|registry| registry.publish(record));
    }

    /// Withdraws from each.
    pub fn withdraw(&self, id: AttachmentId) {
        self.0.iter().for_each(|registry| registry.withdraw(id));
    }

    /// Tells each whose an address is.
    pub fn assign(&self, id: AttachmentId, address: Ipv6Addr, account: u32) {
        self.0.iter().for_each(|registry| registry.assign(id, address, account));
    }

    /// How each is, for somebody who may know these addresses of the host's networks and no others.
    pub fn status_for(&self, shows: &dyn Fn(IpAddr) -> bool) -> Vec<Status> {
        self.0.iter().map(|registry| registry.status_for(shows)).collect()
    }

    /// The name as others ask for it, one per registry.
    pub fn full_names(&self, name: &Name) -> Vec<String> {
        self.0.iter().map(|registry| registry.full_name(name)).collect()
    }

    /// What is amiss for this record, at any of them.
    pub fn check(&self, record: &Record) -> Vec<String> {
        self.0.iter().filter_map(|registry| registry.check(record)).collect()
    }
}

/// Starts what the configuration switches on: the one place that chooses. Must be called within a tokio
/// runtime; the registries' tasks end when the [`Registries`] are dropped, and names published in Consul
/// then stay, so that a restart drops none.
pub fn start(config: Config, place: Place) -> Registries {
    let mut registries: Vec<Box<dyn Registry>> = Vec::new();
    if let Some(dns) = config.dns {
        registries.push(Box::new(dns::Dns::start(dns, place.listen, place.prefixes)));
    }
    if let Some(consul) = config.consul {
        registries.push(Box::new(consul::Consul::start(consul, place.instance)));
    }
    Registries::new(registries)
}

//! The built-in DNS: AAAA and PTR for the attachments, everything else forwarded.
//!
//! ```text
//! listen (sockets) -> server (who may ask) -> wire (messages) -> zone (what is known)
//!                                          -> forward -> upstream
//! ```
//!
//! The records are in memory and visible as soon as `publish` returns. Only hosts within the networks'
//! prefixes and this host are answered. Everything a client can make grow is bounded: queries in flight
//! and connections, by the users whose containers the clients are; message sizes, times. An address that cannot be bound makes the status unhealthy and is
//! tried again with back-off.

mod config;
mod forward;
#[cfg(fuzzing)]
pub mod fuzz;
mod gate;
mod listen;
mod owners;
mod reverse;
mod server;
mod upstream;
mod wire;
mod zone;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv6Net;
use tokio::task::JoinSet;

pub use self::config::{Config, Forward};
use self::forward::{Forwarder, Patience};
use self::listen::Listener;
use self::server::Server;
use self::upstream::Upstreams;
use self::zone::Zone;
use super::{Registry, Status};
use crate::model::{AttachmentId, Name, Record};

/// The built-in DNS.
#[derive(Debug)]
pub struct Dns {
    domain: String,
    server: Arc<Server>,
    listeners: Vec<Arc<Listener>>,
    prefixes: Vec<Ipv6Net>,
    /// Ends the listeners with us.
    _tasks: JoinSet<()>,
}

impl Dns {
    /// Begins to listen on these addresses, for clients within these prefixes. Must be called within a
    /// tokio runtime.
    pub fn start(config: Config, listen: Vec<SocketAddr>, prefixes: Vec<Ipv6Net>) -> Self {
        Self::start_with(config, listen, prefixes, Patience::default())
    }

    fn start_with(
        config: Config,
        listen: Vec<SocketAddr>,
        prefixes: Vec<Ipv6Net>,
        patience: Patience,
    ) -> Self {
        let servers = listen.iter().filter_map(|address| match address.ip() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        let domain = config.zone.to_ascii().trim_end_matches('.').to_owned();
        let zone = Zone::new(config.zone, config.ttl, prefixes.clone(), servers.collect());
        let forwarder = Forwarder::new(Upstreams::new(config.forward, listen.clone()), patience);
        let server = Arc::new(Server::new(zone, forwarder, prefixes.clone(), &listen));
        let listeners: Vec<_> = listen.into_iter().map(|address| Arc::new(Listener::new(address))).collect();
        let mut tasks = JoinSet::new();
        for listener in &listeners {
            tasks.spawn(Arc::clone(listener).run(Arc::clone(&server)));
        }
        Self { domain, server, listeners, prefixes, _tasks: tasks }
    }

    /// What keeps us from being asked, at the addresses that are shown.
    fn error(&self, shows: &dyn Fn(IpAddr) -> bool) -> Option<String> {
        self.shown(shows).find_map(|listener| listener.state().err())
    }

    fn shown(&self, shows: &dyn Fn(IpAddr) -> bool) -> impl Iterator<Item = &Arc<Listener>> {
        self.listeners.iter().filter(move |listener| shows(listener.address().ip()))
    }
}

impl Registry for Dns {
    fn publish(&self, record: &Record) {
        self.server.zone_mut().insert(record);
    }

    fn withdraw(&self, id: AttachmentId) {
        self.server.zone_mut().remove(id);
        self.server.owners_mut().remove(id);
    }

    fn assign(&self, id: AttachmentId, address: Ipv6Addr, account: u32) {
        self.server.owners_mut().insert(id, address, account);
    }

    fn status_for(&self, shows: &dyn Fn(IpAddr) -> bool) -> Status {
        let bound = |listener: &Arc<Listener>| listener.state().unwrap_or(listener.address()).to_string();
        let endpoint: Vec<String> = self.shown(shows).map(bound).collect();
        let error = self.error(shows);
        Status {
            kind: "dns",
            endpoint: endpoint.join(", "),
            healthy: error.is_none(),
            error,
            names: self.server.zone().len(),
        }
    }

    fn full_name(&self, name: &Name) -> String {
        format!("{name}.{}", self.domain)
    }

    fn check(&self, record: &Record) -> Option<String> {
        if !self.server.zone().holds(record) {
            return Some(format!("{} is not in the built-in DNS", self.full_name(&record.name)));
        }
        // Whoever may see the record need not know of other networks.
        let of_another = |address: IpAddr, prefix: &Ipv6Net| {
            matches!(address, IpAddr::V6(address) if prefix.contains(&address))
                && !prefix.contains(&record.address)
        };
        let shows = |address| !self.prefixes.iter().any(|prefix| of_another(address, prefix));
        self.error(&shows).map(|error| format!("the built-in DNS cannot be asked: {error}"))
    }
}

#[cfg(test)]
mod tests;

//! The `bridge` driver: a veth pair into a bridge, our own or one that is there already.
//!
//! # Theory of operation
//! One request makes the pair with its far end already inside the namespace; the far end never shows
//! on the host. The host's end is marked, made a port that learns nothing, and gets the one static
//! forwarding entry of its MAC; the host gets a permanent neighbour entry. So nothing that a container
//! says about addresses changes a table of the host. Inside, addresses carry NODAD: that they are
//! unique is ours to guarantee, and duplicate address detection would take a second. The ends come up
//! last: the host's, and then the one inside, when it has its addresses.
//!
//! Detaching removes the host's end by its name; the far end, the port, its forwarding entry and the
//! routes go with it.

mod check;
mod port;
pub mod stale;

use std::{
    fs, io,
    net::Ipv6Addr,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::Ipv6Net;
use rustix::io::Errno;

pub use self::check::permanent_neighbours;
use super::{
    Error, Network,
    announce::Announcer,
    host::{self, Changes},
    netlink::{Link, Socket},
    request,
};
use crate::{
    config,
    fault::Fault,
    model::{Attachment, Mac},
};

const LINK_LOCAL_LENGTH: u8 = 64;
/// What the alias of every bridge of ours begins with; the network's name follows.
pub const MARK: &str = "v6pod:bridge:";

/// A bridge and the prefix on it.
pub struct Bridge {
    name: String,
    network: String,
    prefix: Ipv6Net,
    gateway: Option<Ipv6Addr>,
    mtu: u32,
    /// Ours to make and to set up, or only to join.
    own: bool,
    mac: Mac,
    changes: Arc<Mutex<Changes>>,
    announcer: Announcer,
}

impl Bridge {
    /// The driver of a configured network. `mac` is the bridge's, if the bridge is ours.
    pub fn new(network: &config::Network, mac: Mac, changes: Arc<Mutex<Changes>>) -> Self {
        Self {
            name: network.bridge.clone(),
            network: network.name.to_string(),
            prefix: network.prefix,
            gateway: network.gateway,
            mtu: network.mtu,
            own: !network.join,
            mac,
            changes,
            announcer: Announcer::default(),
        }
    }

    fn alias(&self) -> String {
        format!("{MARK}{}", self.network)
    }

    /// By its mark, which may be of a network that had the bridge before; or, if we died before marking it, by
    /// the MAC that it was made with.
    fn is_ours(&self, link: &Link) -> bool {
        stale::is_marked(link) || link.address == self.mac.0
    }

    /// The bridge as it is now; an own one that somebody removed is made again.
    fn link(&self, socket: &mut Socket) -> Result<Link, Error> {
        if let Some(link) = self.present(socket)? {
            return Ok(link);
        }
        self.create(socket)
    }

    /// The bridge as it is now, if it is there. An own one need not be.
    fn present(&self, socket: &mut Socket) -> Result<Option<Link>, Error> {
        match socket.link_by_name(&self.name) {
            Ok(link) if link.kind != "bridge" => {
                Err(Error::NotABridge { name: self.name.clone(), kind: link.kind })
            }
            Ok(link) if self.own && !self.is_ours(&link) => Err(Error::NotOurs(self.name.clone())),
            Ok(link) => Ok(Some(link)),
            Err(error) if is(&error, Errno::NODEV) && self.own => Ok(None),
            Err(error) if is(&error, Errno::NODEV) => Err(Error::NoBridge(self.name.clone())),
            Err(error) => Err(Error::step("finding the bridge", &self.name)(error)),
        }
    }

    fn create(&self, socket: &mut Socket) -> Result<Link, Error> {
        match socket.one(request::bridge(&self.name, self.mac, self.mtu)) {
            // Another job of ours was faster, or somebody else, which is looked at below.
            Err(error) if is(&error, Errno::EXIST) => {}
            other => other.map_err(Error::step("creating the bridge", &self.name))?,
        }
        let link = self.present(socket)?.ok_or_else(|| Error::NoBridge(self.name.clone()))?;
        self.set_up(socket, &link)?;
        Ok(link)
    }

    /// An own bridge gets its mark, its fixed MAC, no ears for router advertisements, no questions for
    /// neighbours, the gateway's address in place of another that it had, and comes up. Idempotent.
    fn set_up(&self, socket: &mut Socket, link: &Link) -> Result<(), Error> {
        let index = link.index;
        // Setting the MAC, even to what it is, makes Linux forget the neighbours (ndisc_netdev_event,
        // net/ipv6/ndisc.c), which another job may just have entered.
        let mac = (link.address != self.mac.0).then_some(self.mac);
        let mut requests = vec![request::own_bridge(index, &self.alias(), mac, self.mtu)];
        {
            let write = |of: &str, key: &str, value: &str| {
                let path = format!("/proc/sys/net/ipv6/{of}/{}/{key}", self.name);
                fs::write(&path, value).map_err(|source| Error::Sysctl { path, source })
            };
            // Not remembered: these files go with the bridge.
            write("conf", "disable_ipv6", "0")?;
            write("conf", "accept_ra", "0")?;
            // All who are there are entered. Whoever sends to all the other addresses of the prefix shall
            // not have them looked for, which fills the neighbour table of the whole host (RFC 6583).
            write("neigh", "mcast_solicit", "0")?;
        }
        let gateway = self.gateway.map(|gateway| (gateway, self.prefix.prefix_len()));
        // First: the kernel would leave an address that is there with the length that it has.
        stale::keep_one_gateway(socket, link, gateway)
            .map_err(Error::step("removing old addresses", &self.name))?;
        requests.extend(gateway.map(|(gateway, length)| request::address(index, gateway, length)));
        requests.push(request::address(index, self.mac.link_local(), LINK_LOCAL_LENGTH));
        requests.push(request::up(index));
        all(socket, requests, "setting up the bridge", &self.name)
    }
}

impl Network for Bridge {
    fn examine(&self) -> Result<(), Error> {
        let mut socket = Socket::open().map_err(Error::step("opening netlink", &self.name))?;
        let present = self.present(&mut socket)?.map_or(0, |link| link.index);
        host::no_overlap(self.prefix, present)
    }

    fn prepare(&self) -> Result<(), Error> {
        let mut socket = Socket::open().map_err(Error::step("opening netlink", &self.name))?;
        let link = self.link(&mut socket)?;
        if self.own {
            self.set_up(&mut socket, &link)?;
        }
        host::warn_of_bridge_filter();
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        host::forward(&mut changes)
    }

    fn attach(&self, attachment: &Attachment, namespace: BorrowedFd<'_>, fault: Fault) -> Result<(), Error> {
        let result = self.attach_steps(attachment, namespace, fault);
        if result.is_err() {
            // Nothing half done stays. What cannot be undone now is undone by the next start.
            if let Err(error) = self.detach(attachment, Fault) {
                tracing::warn!(id = %attachment.id, %error, "undoing a failed attach");
            }
        }
        result
    }

    fn detach(&self, attachment: &Attachment, fault: Fault) -> Result<(), Error> {
        let host = attachment.id.host_interface();
        let mut socket = Socket::open().map_err(Error::step("opening netlink", &host))?;
        let mut outcome = Ok(());
        if let Ok(bridge) = socket.link_by_name(&self.name) {
            let removed = socket.one(request::no_neighbour(bridge.index, attachment.address));
            outcome =
                gone_is_fine(removed).map_err(Error::step("removing the neighbour", &attachment.address));
        }
        fault.after("detach.neighbour").map_err(Error::step("detach.neighbour", &attachment.id))?;
        match socket.link_by_name(&host) {
            Ok(link) => {
                let removed = gone_is_fine(socket.delete_link(link.index));
                outcome = removed.map_err(Error::step("removing the link", &host)).and(outcome);
            }
            Err(error) => {
                outcome =
                    gone_is_fine(Err(error)).map_err(Error::step("finding the link", &host)).and(outcome);
            }
        }
        fault.after("detach.link").map_err(Error::step("detach.link", &attachment.id))?;
        outcome
    }

    fn restore(&self, attachment: &Attachment) -> Result<bool, Error> {
        let host = attachment.id.host_interface();
        let mut socket = Socket::open().map_err(Error::step("opening netlink", &host))?;
        let port = match socket.link_by_name(&host) {
            Ok(link) => link,
            Err(error) if is(&error, Errno::NODEV) => return Ok(false),
            Err(error) => return Err(Error::step("finding the link", &host)(error)),
        };
        let bridge = self.link(&mut socket)?;
        if port.controller != bridge.index {
            socket
                .one(request::join(port.index, bridge.index))
                .map_err(Error::step("joining the bridge", &host))?;
        }
        self.make_port(&mut socket, attachment)?;
        Self::host_entries(&mut socket, attachment, port.index, bridge.index)?;
        socket.one(request::up(port.index)).map_err(Error::step("bringing the port up", &host))?;
        self.announce(bridge.index, attachment);
        Ok(true)
    }

    fn leads_into(&self, attachment: &Attachment, namespace: BorrowedFd<'_>) -> io::Result<bool> {
        let mut socket = Socket::open()?;
        let there = socket.namespace_id(&namespace)?;
        match socket.link_by_name(&attachment.id.host_interface()) {
            Ok(link) => Ok(there.is_some() && link.peer_namespace == there),
            Err(error) if is(&error, Errno::NODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check(&self, attachment: &Attachment) -> Vec<String> {
        self.problems(attachment).unwrap_or_else(|error| vec![error.to_string()])
    }

    fn sweep(&self, live: &dyn Fn(Ipv6Addr) -> bool) -> Result<(), Error> {
        let fail = || Error::step("reading the neighbours", &self.name);
        let mut socket = Socket::open().map_err(fail())?;
        let bridge = self.link(&mut socket)?;
        for (address, mac) in permanent_neighbours(&mut socket, bridge.index).map_err(fail())? {
            if self.prefix.contains(&address) && Mac::of(address) == mac && !live(address) {
                tracing::info!(%address, bridge = self.name, "removing the neighbour of an attachment that is no more");
                gone_is_fine(socket.one(request::no_neighbour(bridge.index, address)))
                    .map_err(Error::step("removing the neighbour", &address))?;
            }
        }
        Ok(())
    }

    fn gateway(&self) -> Option<Ipv6Addr> {
        self.gateway
    }

    fn host_link(&self) -> &str {
        &self.name
    }
}

fn all(
    socket: &mut Socket,
    requests: Vec<super::netlink::Request>,
    step: &'static str,
    object: &str,
) -> Result<(), Error> {
    let outcomes = socket.send(requests).map_err(Error::step(step, object))?;
    outcomes.into_iter().collect::<io::Result<()>>().map_err(Error::step(step, object))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// To remove what is gone already is what was wanted.
///
/// # Errors
/// All others.
pub fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is(&error, Errno::NODEV) || is(&error, Errno::NOENT) || is(&error, Errno::NXIO) => {
            Ok(())
        }
        other => other,
    }
}

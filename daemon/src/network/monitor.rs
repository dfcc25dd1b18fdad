//! Tells when one of our links is gone: the end of a namespace takes the veth in it along, and with it
//! the host's end; when its owner has moved the other end to another namespace; and when a bridge comes or
//! goes. The kernel says so to RTNLGRP_LINK (rtnetlink(7)); nothing polls.

use std::{collections::HashMap, io, thread};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkFlags};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use tokio::sync::mpsc;

use super::{mark, marked_links, netlink, netlink::Link};
use crate::model::AttachmentId;

/// `RTMGRP_LINK` of linux/rtnetlink.h.
const LINKS: u32 = 1;
/// The receive buffer in octets, whatever net.core.rmem_max is: a thousand namespaces may end at once.
const BUFFER: usize = 4 << 20;

/// What the monitor saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The host's end of an attachment is gone, or does not lead to its namespace any more.
    Gone(AttachmentId),
    /// A bridge of this name was made or deleted.
    Bridge(String),
    /// Messages were lost (`ENOBUFS`): look for yourself.
    Lost,
}

/// Watches on a thread of its own until the receiver is dropped.
///
/// # Errors
/// No socket, no thread.
pub fn start() -> io::Result<mpsc::UnboundedReceiver<Seen>> {
    let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.bind(&SocketAddr::new(0, LINKS))?;
    let (seen, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("monitor".to_owned()).spawn(move || watch(&socket, &seen))?;
    Ok(receiver)
}

fn watch(socket: &netlink_sys::Socket, seen: &mpsc::UnboundedSender<Seen>) {
    let mut ends = Ends::known();
    while !seen.is_closed() {
        let found = match socket.recv_from_full() {
            Ok((octets, _)) => ends.news(&octets),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                tracing::info!("messages of the kernel were lost; looking for what they told");
                vec![Seen::Lost]
            }
            Err(error) => {
                tracing::error!(%error, "the link monitor cannot read; looking for ended namespaces stops");
                return;
            }
        };
        for event in found {
            if seen.send(event).is_err() {
                return;
            }
        }
    }
}

/// Where the other end of each attachment's link is, as this namespace numbers others.
struct Ends(HashMap<AttachmentId, i32>);

impl Ends {
    /// Those of links that were there before we listened.
    fn known() -> Self {
        let links = marked_links().unwrap_or_default().into_iter();
        Self(links.filter_map(|(id, link)| Some((id, link.peer_namespace?))).collect())
    }

    fn news(&mut self, octets: &[u8]) -> Vec<Seen> {
        let Ok(messages) = netlink::parse(octets) else { return vec![Seen::Lost] };
        messages.into_iter().filter_map(|message| self.about(message.payload)).collect()
    }

    fn about(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Seen> {
        let NetlinkPayload::InnerMessage(message) = payload else { return None };
        match message {
            // A bridge tells of a port that leaves it with the same message in its own family.
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
                let link = netlink::read_link(&link);
                let Some(id) = mark(&link) else { return bridge(link) };
                self.0.remove(&id);
                Some(Seen::Gone(id))
            }
            RouteNetlinkMessage::NewLink(message) => {
                let link = netlink::read_link(&message);
                if let (Some(id), Some(now)) = (mark(&link), link.peer_namespace) {
                    return (*self.0.entry(id).or_insert(now) != now).then_some(Seen::Gone(id));
                }
                // Of a new link all flags have changed (`register_netdevice`, net/core/dev.c).
                let is_new = message.header.change_mask == LinkFlags::from_bits_retain(u32::MAX);
                if is_new { bridge(link) } else { None }
            }
            _ => None,
        }
    }
}

fn bridge(link: Link) -> Option<Seen> {
    (link.kind == "bridge").then_some(Seen::Bridge(link.name))
}

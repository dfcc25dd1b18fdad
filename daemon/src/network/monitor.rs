//! Tells when one of our links is gone: the end of a namespace takes the veth in it along, and with it
//! the host's end; and when a bridge comes or goes. The kernel says so to RTNLGRP_LINK (rtnetlink(7));
//! nothing polls.

use std::{io, thread};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkFlags};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use tokio::sync::mpsc;

use super::{mark, netlink};
use crate::model::AttachmentId;

/// `RTMGRP_LINK` of linux/rtnetlink.h.
const LINKS: u32 = 1;
/// The receive buffer in octets: a thousand namespaces may end at once.
const BUFFER: u32 = 4 << 20;

/// What the monitor saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The host's end of an attachment is gone.
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
    socket.set_rx_buf_sz(BUFFER)?;
    socket.bind(&SocketAddr::new(0, LINKS))?;
    let (seen, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("monitor".to_owned()).spawn(move || watch(&socket, &seen))?;
    Ok(receiver)
}

fn watch(socket: &netlink_sys::Socket, seen: &mpsc::UnboundedSender<Seen>) {
    while !seen.is_closed() {
        let found = match socket.recv_from_full() {
            Ok((octets, _)) => news(&octets),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
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

fn news(octets: &[u8]) -> Vec<Seen> {
    let Ok(messages) = netlink::parse(octets) else { return vec![Seen::Lost] };
    messages.into_iter().filter_map(|message| about(message.payload)).collect()
}

fn about(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Seen> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    match message {
        // A bridge tells of a port that leaves it with the same message in its own family.
        RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
            let link = netlink::read_link(&link);
            mark(&link).map(Seen::Gone).or_else(|| (link.kind == "bridge").then_some(Seen::Bridge(link.name)))
        }
        // Of a new link all flags have changed (`register_netdevice`, net/core/dev.c).
        RouteNetlinkMessage::NewLink(link)
            if link.header.change_mask == LinkFlags::from_bits_retain(u32::MAX) =>
        {
            let link = netlink::read_link(&link);
            (link.kind == "bridge").then_some(Seen::Bridge(link.name))
        }
        _ => None,
    }
}

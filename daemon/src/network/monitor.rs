//! Tells when one of our links is gone: the end of a namespace takes the veth in it along, and with it
//! the host's end; when its owner has moved the other end to another namespace; and when a bridge comes or
//! goes. The kernel says so to RTNLGRP_LINK (rtnetlink(7)); nothing polls.

use std::{collections::HashMap, io, thread};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkFlags};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{io::Errno, net::sockopt::set_socket_recv_buffer_size_force};
use tokio::sync::mpsc;

use super::{host, mark, marked_links, netlink, netlink::Link};
use crate::{backoff, fault::Fault, model::AttachmentId};

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
    /// A link of this name came up, by which there may be routers.
    Up(String),
    /// Messages were lost, or could not be read: look for yourself.
    Lost,
}

/// Watches on a thread of its own until the receiver is dropped.
///
/// # Errors
/// No socket, no thread.
pub fn start() -> io::Result<mpsc::UnboundedReceiver<Seen>> {
    let socket = listen()?;
    let (seen, receiver) = mpsc::unbounded_channel();
    thread::Builder::new().name("monitor".to_owned()).spawn(move || watch(socket, &seen))?;
    Ok(receiver)
}

fn listen() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.bind(&SocketAddr::new(0, LINKS))?;
    Ok(socket)
}

fn hear(socket: &netlink_sys::Socket) -> io::Result<Vec<u8>> {
    let (octets, _) = socket.recv_from_full()?;
    Fault.after("monitor.heard")?;
    Ok(octets)
}

fn watch(mut socket: netlink_sys::Socket, seen: &mpsc::UnboundedSender<Seen>) {
    let mut ends = Ends::default();
    ends.look_again();
    let mut failures = 0;
    while !seen.is_closed() {
        let found = match hear(&socket) {
            Ok(octets) => {
                failures = 0;
                ends.news(&octets)
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                tracing::info!("messages of the kernel were lost; looking for what they told");
                ends.look_again()
            }
            Err(error) => {
                tracing::error!(%error, "the link monitor cannot hear the kernel; it tries another socket");
                socket = listen_again(&mut failures);
                tracing::info!("the link monitor hears the kernel again; looking for what it told meanwhile");
                ends.look_again()
            }
        };
        for event in found {
            if seen.send(event).is_err() {
                return;
            }
        }
    }
}

/// A new socket, in a while: each time later if it is of no use either.
fn listen_again(failures: &mut u32) -> netlink_sys::Socket {
    loop {
        *failures += 1;
        thread::sleep(backoff::after(*failures));
        match listen() {
            Ok(socket) => return socket,
            Err(error) => tracing::error!(%error, failures, "the link monitor has no socket; it tries again"),
        }
    }
}

/// Where the other end of each attachment's link is, as this namespace numbers others.
#[derive(Default)]
struct Ends(HashMap<AttachmentId, i32>);

impl Ends {
    /// Takes in where they are now, without having been told, and tells what is to be done for that.
    fn look_again(&mut self) -> Vec<Seen> {
        match marked_links() {
            Ok(links) => {
                let ends = links.into_iter().filter_map(|(id, link)| Some((id, link.peer_namespace?)));
                let mut found = self.replace(ends.collect());
                found.push(Seen::Lost);
                found
            }
            Err(error) => {
                tracing::error!(%error, "the links cannot be listed: what was moved elsewhere is not noticed");
                vec![Seen::Lost]
            }
        }
    }

    /// Those that are elsewhere than they were.
    fn replace(&mut self, now: HashMap<AttachmentId, i32>) -> Vec<Seen> {
        let before = std::mem::replace(&mut self.0, now);
        let moved = |(id, place): &(AttachmentId, i32)| self.0.get(id).is_some_and(|now| now != place);
        before.into_iter().filter(moved).map(|(id, _)| Seen::Gone(id)).collect()
    }

    fn news(&mut self, octets: &[u8]) -> Vec<Seen> {
        let Ok(messages) = netlink::parse(octets) else { return vec![Seen::Lost] };
        messages.into_iter().flat_map(|message| self.about(message.payload)).flatten().collect()
    }

    fn about(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> [Option<Seen>; 2] {
        let NetlinkPayload::InnerMessage(message) = payload else { return [None, None] };
        match message {
            // A bridge tells of a port that leaves it with the same message in its own family.
            RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
                let link = netlink::read_link(&link);
                let Some(id) = mark(&link) else { return [bridge(&link), None] };
                self.0.remove(&id);
                [Some(Seen::Gone(id)), None]
            }
            RouteNetlinkMessage::NewLink(message) => {
                let link = netlink::read_link(&message);
                if let (Some(id), Some(now)) = (mark(&link), link.peer_namespace) {
                    return [(*self.0.entry(id).or_insert(now) != now).then_some(Seen::Gone(id)), None];
                }
                // Of a new link all flags have changed (`register_netdevice`, net/core/dev.c).
                let changed = message.header.change_mask;
                let is_new = changed == LinkFlags::from_bits_retain(u32::MAX);
                let has_come_up = link.up && changed.contains(LinkFlags::Up) && host::is_uplink(&link);
                [is_new.then(|| bridge(&link)).flatten(), has_come_up.then_some(Seen::Up(link.name))]
            }
            _ => [None, None],
        }
    }
}

fn bridge(link: &Link) -> Option<Seen> {
    (link.kind == "bridge").then(|| Seen::Bridge(link.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_while_nobody_listened_is_gone() {
        let [stays, moved, gone, new] = [1, 2, 3, 4].map(AttachmentId::from_bits);
        let mut ends = Ends(HashMap::from([(stays, 1), (moved, 2), (gone, 3)]));
        assert_eq!(ends.replace(HashMap::from([(stays, 1), (moved, 9), (new, 4)])), [Seen::Gone(moved)]);
        assert_eq!(ends.0, HashMap::from([(stays, 1), (moved, 9), (new, 4)]));
    }
}

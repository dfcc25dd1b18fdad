//! A blocking rtnetlink(7) socket: several requests in one system call, one answer for each.
//!
//! The kernel does the work of a request inside `sendmsg`, under its one RTNL lock, and a deletion
//! takes milliseconds: that belongs on a thread of its own, not on a worker of the async runtime, so
//! this does without one. A socket speaks to the network namespace it was opened in, for as long as it
//! lives, and keeps that namespace alive: drop it soon.

use std::{io, net::Ipv6Addr, os::fd::AsRawFd as _};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
    nsid::{NsidAttribute, NsidMessage},
};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};

/// A request: the message, and the flags beside REQUEST and ACK.
pub struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Request {
    /// A request with flags such as `NLM_F_CREATE | NLM_F_EXCL`.
    pub fn new(message: RouteNetlinkMessage, flags: u16) -> Self {
        Self { message, flags }
    }
}

/// What a link is, as far as the daemon wants to know.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its alias (`ip link set … alias`), empty without one.
    pub alias: String,
    /// The bridge it is a port of, 0 without one.
    pub controller: u32,
    /// The id of the namespace that its peer is in, as this namespace numbers it.
    pub peer_namespace: Option<i32>,
    /// Its MAC address.
    pub address: Vec<u8>,
    /// Its MTU in octets.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// What kind it is: "bridge", "veth", empty for hardware.
    pub kind: String,
}

/// A blocking socket.
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    /// A socket of the calling thread's network namespace.
    ///
    /// # Errors
    /// No descriptor or memory left.
    pub fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Answers then carry the kernel's own words, and not our request again. Old kernels lack both.
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends all requests at once and gives each one's outcome. The kernel goes on after a failed one.
    ///
    /// # Errors
    /// The socket itself failed; then nothing is known of any request.
    pub fn send(&mut self, requests: Vec<Request>) -> io::Result<Vec<io::Result<()>>> {
        let count = requests.len();
        let first = self.sequence.wrapping_add(1);
        let mut buffer = Vec::with_capacity(256 * count);
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut buffer, request.message, NLM_F_REQUEST | NLM_F_ACK | request.flags, self.sequence);
        }
        self.socket.send(&buffer, 0)?;
        let mut outcomes: Vec<Option<io::Result<()>>> = (0..count).map(|_| None).collect();
        while outcomes.iter().any(Option::is_none) {
            for message in self.receive()? {
                let position = message.header.sequence_number.wrapping_sub(first) as usize;
                if let (Some(slot), NetlinkPayload::Error(error)) =
                    (outcomes.get_mut(position), message.payload)
                {
                    *slot = Some(error.code.map_or(Ok(()), |code| Err(from_code(code.get()))));
                }
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Sends one request.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn one(&mut self, request: Request) -> io::Result<()> {
        self.send(vec![request])?.pop().unwrap_or(Ok(()))
    }

    /// Asks for one object, and takes the first answer.
    fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = Vec::with_capacity(128);
        append(&mut buffer, message, NLM_F_REQUEST, self.sequence);
        self.socket.send(&buffer, 0)?;
        loop {
            for answer in self.receive()? {
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(inner) => return Ok(inner),
                    NetlinkPayload::Error(error) => {
                        return Err(error.code.map_or_else(
                            || io::Error::other("netlink acknowledged without an answer"),
                            |code| from_code(code.get()),
                        ));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Every object of a kind.
    ///
    /// The kernel reads them in pieces. If they change meanwhile it says so (`NLM_F_DUMP_INTR`): before Linux
    /// 6.10 links that were there all the time may be left out then. So it is asked again.
    ///
    /// # Errors
    /// What the kernel answered; or they change all the time.
    pub fn dump(&mut self, message: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        /// One takes a few milliseconds where there are a thousand links.
        const ATTEMPTS: usize = 20;
        for _ in 0..ATTEMPTS {
            if let Some(found) = self.dump_once(message.clone())? {
                return Ok(found);
            }
        }
        Err(io::Error::other("the kernel's list changed each time while it was read: try again"))
    }

    /// None: they changed meanwhile.
    fn dump_once(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut buffer = Vec::with_capacity(128);
        append(&mut buffer, message, NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket.send(&buffer, 0)?;
        let mut read = Dump::default();
        loop {
            for answer in self.receive()? {
                if answer.header.sequence_number == self.sequence && read.take(answer)? {
                    return Ok((!read.interrupted).then_some(read.found));
                }
            }
        }
    }

    fn receive(&mut self) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
        let (octets, _) = self.socket.recv_from_full()?;
        parse(&octets)
    }

    /// The link with this name.
    ///
    /// # Errors
    /// `ENODEV`: there is none.
    pub fn link_by_name(&mut self, name: &str) -> io::Result<Link> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.link(message)
    }

    fn link(&mut self, message: LinkMessage) -> io::Result<Link> {
        match self.get(RouteNetlinkMessage::GetLink(message))? {
            RouteNetlinkMessage::NewLink(found) => Ok(read_link(&found)),
            other => Err(io::Error::other(format!("netlink answered a link with {other:?}"))),
        }
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let found = self.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(found
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(read_link(link)),
                _ => None,
            })
            .collect())
    }

    /// Removes a link by its index.
    ///
    /// # Errors
    /// `ENODEV`: there is none; `EPERM`: no CAP_NET_ADMIN over the socket's namespace.
    pub fn delete_link(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.one(Request::new(RouteNetlinkMessage::DelLink(message), 0))
    }

    /// The id that this namespace has for another one: `RTM_GETNSID` with `NETNSA_FD`.
    ///
    /// The kernel compares the file's operations and reads the namespace from it; it runs no code of
    /// the file's own file system (`get_net_ns_by_fd`, net/core/net_namespace.c), which is why this is
    /// the first question about a descriptor that a stranger sent.
    ///
    /// # Errors
    /// `EINVAL` or `EBADF`: the descriptor is not a network namespace.
    pub fn namespace_id(&mut self, descriptor: &impl std::os::fd::AsFd) -> io::Result<Option<i32>> {
        let mut message = NsidMessage::default();
        let number = u32::try_from(descriptor.as_fd().as_raw_fd()).map_err(io::Error::other)?;
        message.attributes.push(NsidAttribute::Fd(number));
        let RouteNetlinkMessage::NewNsId(answer) = self.get(RouteNetlinkMessage::GetNsId(message))? else {
            return Err(io::Error::other("netlink answered RTM_GETNSID with something else"));
        };
        Ok(answer.attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if *id >= 0 => Some(*id),
            _ => None,
        }))
    }
}

/// What was read of a list.
#[derive(Default)]
struct Dump {
    found: Vec<RouteNetlinkMessage>,
    /// It changed while it was read.
    interrupted: bool,
}

impl Dump {
    /// Takes a message; true: it was the last one.
    fn take(&mut self, answer: NetlinkMessage<RouteNetlinkMessage>) -> io::Result<bool> {
        self.interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(inner) => self.found.push(inner),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                return error.code.map_or(Ok(true), |code| Err(from_code(code.get())));
            }
            _ => {}
        }
        Ok(false)
    }
}

/// Reads all messages of one datagram.
///
/// # Errors
/// The kernel sent what is no netlink message.
pub fn parse(octets: &[u8]) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut messages = Vec::new();
    let mut rest = octets;
    while rest.len() >= 16 {
        let length = NetlinkBuffer::new_checked(&rest).map_err(io::Error::other)?.length() as usize;
        messages.push(NetlinkMessage::deserialize(&rest[..length]).map_err(io::Error::other)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(messages)
}

fn append(buffer: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let start = buffer.len().next_multiple_of(4);
    buffer.resize(start + message.buffer_len(), 0);
    message.serialize(&mut buffer[start..]);
}

/// An error of the kernel's, which netlink gives as a negative number.
fn from_code(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.wrapping_neg())
}

/// What the daemon wants to know of a link.
pub fn read_link(message: &LinkMessage) -> Link {
    use netlink_packet_route::link::{LinkFlags, LinkInfo};
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::Controller(index) => link.controller = *index,
            LinkAttribute::LinkNetNsId(id) => link.peer_namespace = Some(*id),
            LinkAttribute::Address(address) => link.address.clone_from(address),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = kind.to_string();
                    }
                }
            }
            _ => {}
        }
    }
    link
}

/// The header of messages about IPv6.
pub const FAMILY: AddressFamily = AddressFamily::Inet6;

/// An IPv6 address out of the generic one.
pub fn v6(address: std::net::IpAddr) -> Option<Ipv6Addr> {
    match address {
        std::net::IpAddr::V6(address) => Some(address),
        std::net::IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DoneMessage;

    use super::*;

    fn answer(
        flags: u16,
        payload: NetlinkPayload<RouteNetlinkMessage>,
    ) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        NetlinkMessage::new(header, payload)
    }

    #[test]
    fn a_list_that_changed_while_it_was_read_is_not_taken_for_whole() {
        let link = || NetlinkPayload::from(RouteNetlinkMessage::NewLink(LinkMessage::default()));
        let done = || NetlinkPayload::Done(DoneMessage::default());
        for (flags, interrupted) in
            [([0, 0], false), ([NLM_F_DUMP_INTR, 0], true), ([0, NLM_F_DUMP_INTR], true)]
        {
            let mut read = Dump::default();
            assert!(!read.take(answer(flags[0], link())).unwrap());
            assert!(read.take(answer(flags[1], done())).unwrap());
            assert_eq!((read.found.len(), read.interrupted), (1, interrupted));
        }
    }
}

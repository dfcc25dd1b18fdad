//! The same work in the kernel with nothing around it: no client, no daemon, no record, no question asked.
//!
//! All that v6podd's `bridge` driver sets, in as few messages and system calls as there can be: the link's
//! numbers are chosen instead of looked up, what can go out together does.

use std::{
    fs,
    fs::File,
    net::{IpAddr, Ipv6Addr},
    os::fd::AsRawFd as _,
    process::Command,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind, InfoPortData,
        InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};

use crate::{
    BARE, BARE_ONCE, COPY,
    namespace::{Namespace, gateway, inside},
};

const BRIDGE: &str = "bare0";
const BRIDGE_MAC: [u8; 6] = [0x0e, 0, 0, 0, 0, 1];
const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;
const REPLACE: u16 = NLM_F_CREATE | NLM_F_REPLACE;
/// The link's number inside, and from where on they are on the host.
const INSIDE: u32 = 1000;
const OUTSIDE: u32 = 10_000;

/// The bridge and its number.
pub struct Bare {
    bridge: u32,
}

/// One attachment.
pub struct Attached {
    port: u32,
    address: Ipv6Addr,
}

impl Attached {
    fn new(number: u16) -> Self {
        let address = u128::from(gateway(BARE)) - 1 + u128::from(number) + (0x06 << 40);
        Self { port: OUTSIDE + u32::from(number), address: address.into() }
    }
}

/// One attachment, and no more.
pub fn program(number: u16, namespace: &str) {
    let namespace = File::open(namespace).expect("a namespace");
    Bare::present().attach(number, &namespace);
}

impl Bare {
    /// Makes the bridge.
    pub fn new() -> Self {
        let script = format!(
            "ip link add {BRIDGE} address 0e:00:00:00:00:01 type bridge mcast_snooping 0
            ip address add {}/80 dev {BRIDGE} nodad
            ip link set {BRIDGE} up",
            gateway(BARE)
        );
        let status = Command::new("sh").args(["-ec", &script]).status();
        assert!(status.is_ok_and(|status| status.success()), "no bridge {BRIDGE}");
        Self::present()
    }

    /// The bridge that is there.
    fn present() -> Self {
        let index = fs::read_to_string(format!("/sys/class/net/{BRIDGE}/ifindex")).expect("a link");
        Self { bridge: index.trim().parse().expect("a number") }
    }

    /// Attaches a namespace; `number` tells it from others.
    pub fn attach(&self, number: u16, namespace: &File) -> Attached {
        let [high, low] = number.to_be_bytes();
        let mac = [0x06, 0, 0, 0, high, low];
        let attached = Attached::new(number);
        let (port, address) = (attached.port, attached.address);
        let name = format!("bare{number}");
        let mut socket = Socket::open();
        socket.send(vec![
            (self.veth(&name, port, mac, namespace), CREATE),
            (marked(port), 0),
            (forwarding_entry(port, mac), REPLACE),
            (neighbour(self.bridge, address, mac), REPLACE),
        ]);
        fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0").expect("a sysctl");
        inside(namespace, || {
            fs::write("/proc/sys/net/ipv6/conf/v6pod0/disable_ipv6", "0").expect("a sysctl");
            fs::write("/proc/sys/net/ipv6/conf/v6pod0/accept_ra", "0").expect("a sysctl");
            let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0400, 0x00ff, 0xfe00, number);
            Socket::open().send(vec![
                (without_generated_addresses(INSIDE), 0),
                (address_on(INSIDE, address, 80), REPLACE),
                (address_on(INSIDE, link_local, 64), REPLACE),
                (up(INSIDE), 0),
                (neighbour(INSIDE, gateway(BARE), BRIDGE_MAC), REPLACE),
                (default_route(INSIDE, gateway(BARE)), CREATE),
            ]);
        });
        socket.send(vec![(up(port), 0)]);
        attached
    }

    /// The same by a program that is started for it.
    pub fn attach_by_program(number: u16, namespace: &Namespace) -> Attached {
        let status = Command::new(COPY).args([BARE_ONCE, &number.to_string(), &namespace.path()]).status();
        assert!(status.is_ok_and(|status| status.success()), "the program failed");
        Attached::new(number)
    }

    /// Takes it off again.
    pub fn detach(&self, attached: &Attached) {
        let mut gone = LinkMessage::default();
        gone.header.index = attached.port;
        Socket::open().send(vec![
            (RouteNetlinkMessage::DelNeighbour(neighbour_message(self.bridge, attached.address)), 0),
            (RouteNetlinkMessage::DelLink(gone), 0),
        ]);
    }

    fn veth(&self, name: &str, port: u32, mac: [u8; 6], namespace: &File) -> RouteNetlinkMessage {
        let mut peer = LinkMessage::default();
        peer.header.index = INSIDE;
        peer.attributes = vec![
            LinkAttribute::IfName("v6pod0".to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        ];
        let mut message = LinkMessage::default();
        message.header.index = port;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Controller(self.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        RouteNetlinkMessage::NewLink(message)
    }
}

fn no_generated_addresses() -> LinkAttribute {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])
}

fn marked(port: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = port;
    message.attributes = vec![
        LinkAttribute::IfAlias("bare:000000000000".to_owned()),
        no_generated_addresses(),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Learning(false)])),
        ]),
    ];
    RouteNetlinkMessage::NewLink(message)
}

fn without_generated_addresses(link: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link;
    message.attributes.push(no_generated_addresses());
    RouteNetlinkMessage::SetLink(message)
}

fn up(link: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(message)
}

fn address_on(link: u32, address: Ipv6Addr, length: u8) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = length;
    message.header.index = link;
    message.header.flags = AddressHeaderFlags::Nodad;
    let address = IpAddr::V6(address);
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    RouteNetlinkMessage::NewAddress(message)
}

fn neighbour_message(link: u32, address: Ipv6Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = link;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)));
    message
}

fn neighbour(link: u32, address: Ipv6Addr, mac: [u8; 6]) -> RouteNetlinkMessage {
    let mut message = neighbour_message(link, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

fn forwarding_entry(port: u32, mac: [u8; 6]) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

fn default_route(link: u32, gateway: Ipv6Addr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        flags: RouteFlags::Onlink,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Gateway(RouteAddress::Inet6(gateway)),
        RouteAttribute::Oif(link),
        RouteAttribute::Priority(50),
    ];
    RouteNetlinkMessage::NewRoute(message)
}

/// A netlink socket of the calling thread's namespace.
struct Socket(netlink_sys::Socket);

impl Socket {
    fn open() -> Self {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).expect("a socket");
        socket.bind_auto().expect("a socket");
        socket.connect(&SocketAddr::new(0, 0)).expect("a socket");
        Self(socket)
    }

    /// Sends all at once and waits for all the answers.
    fn send(&mut self, requests: Vec<(RouteNetlinkMessage, u16)>) {
        let mut left = requests.len();
        let mut buffer = Vec::new();
        for (message, flags) in requests {
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
            message.finalize();
            let start = buffer.len();
            buffer.resize((start + message.buffer_len()).next_multiple_of(4), 0);
            message.serialize(&mut buffer[start..]);
        }
        self.0.send(&buffer, 0).expect("the kernel takes it");
        while left > 0 {
            let (answers, _) = self.0.recv_from_full().expect("the kernel answers");
            let mut rest = answers.as_slice();
            while rest.len() >= 16 {
                let length = NetlinkBuffer::new_checked(&rest).expect("a message").length() as usize;
                let answer =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]).expect("a message");
                if let NetlinkPayload::Error(error) = answer.payload {
                    assert!(error.code.is_none(), "the kernel refused: {error:?}");
                    left -= 1;
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

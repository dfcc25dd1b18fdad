//! The rtnetlink(7) requests of the drivers, one function each.

use std::{
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd as _},
};

use ipnet::Ipv6Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData,
        InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use super::netlink::Request;
use crate::model::Mac;

/// The metric of a container's default route: below the 100 of NetworkManager's routes, which pasta
/// copies into a container, and the 1024 of those that router advertisements make (Linux,
/// IP6_RT_PRIO_USER), so that ours wins beside either.
pub const DEFAULT_ROUTE_METRIC: u32 = 50;

/// The table of local routes, in rtnetlink(7)'s numbers.
const RT_TABLE_LOCAL: u8 = 255;

const CREATE: u16 = NLM_F_CREATE | NLM_F_EXCL;
const REPLACE: u16 = NLM_F_CREATE | NLM_F_REPLACE;

/// A veth pair, the far end born inside another namespace.
pub struct Veth<'a, N> {
    /// The host's end.
    pub host: &'a str,
    /// Its index.
    pub index: u32,
    /// The bridge it becomes a port of.
    pub bridge: u32,
    /// The far end's name.
    pub inside: &'a str,
    /// The far end's MAC.
    pub mac: Mac,
    /// The MTU of both ends in octets.
    pub mtu: u32,
    /// The namespace of the far end.
    pub namespace: &'a N,
}

impl<N: AsFd> Veth<'_, N> {
    /// `ip link add HOST index INDEX mtu MTU master BRIDGE type veth peer name INSIDE address MAC mtu MTU netns FD`.
    pub fn create(&self) -> Request {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(self.inside.to_owned()),
            LinkAttribute::Address(self.mac.0.to_vec()),
            LinkAttribute::Mtu(self.mtu),
            LinkAttribute::NetNsFd(self.namespace.as_fd().as_raw_fd()),
        ];
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message.attributes = vec![
            LinkAttribute::IfName(self.host.to_owned()),
            LinkAttribute::Mtu(self.mtu),
            LinkAttribute::Controller(self.bridge),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        Request::new(RouteNetlinkMessage::NewLink(message), CREATE)
    }
}

/// No link-local address of the kernel's own making: on a port nobody needs one, and inside we add it
/// ourselves so that it waits for no duplicate address detection.
fn no_generated_addresses() -> LinkAttribute {
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
        In6AddrGenMode::None,
    )])])
}

/// Marks the host's end as ours and makes it a port that learns nothing, for its one MAC is a static entry,
/// and that answers no ARP.
pub fn port(name: &str, alias: &str) -> Request {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Noarp;
    message.header.change_mask = LinkFlags::Noarp;
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::IfAlias(alias.to_owned()),
        no_generated_addresses(),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Learning(false)])),
        ]),
    ];
    Request::new(RouteNetlinkMessage::NewLink(message), 0)
}

/// `ip link set INDEX addrgenmode none`.
pub fn without_generated_addresses(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(no_generated_addresses());
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}

/// `ip link set INDEX up`.
pub fn up(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}

/// `ip link set INDEX master BRIDGE`.
pub fn join(index: u32, bridge: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Controller(bridge));
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}

/// `ip link add NAME address MAC mtu MTU type bridge stp_state 0 mcast_snooping 0`.
///
/// A MAC that was set stays; a bridge without one takes the lowest of its ports' and changes it as they
/// come and go (`br_stp_recalculate_bridge_id`). Snooping without a querier may lose neighbour discovery.
pub fn bridge(name: &str, mac: Mac, mtu: u32) -> Request {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::StpState(BridgeStpState::Disabled),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]),
    ];
    Request::new(RouteNetlinkMessage::NewLink(message), CREATE)
}

/// Sets alias, MTU and, if there is one, MAC of an own bridge, and that it makes no addresses itself.
pub fn own_bridge(index: u32, alias: &str, mac: Option<Mac>, mtu: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes =
        vec![LinkAttribute::IfAlias(alias.to_owned()), LinkAttribute::Mtu(mtu), no_generated_addresses()];
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}

/// `ip addr replace ADDRESS/LENGTH dev INDEX nodad`.
pub fn address(index: u32, address: Ipv6Addr, length: u8) -> Request {
    let mut message = address_message(index, address, length);
    message.header.flags = AddressHeaderFlags::Nodad;
    Request::new(RouteNetlinkMessage::NewAddress(message), REPLACE)
}

/// `ip addr del ADDRESS/LENGTH dev INDEX`.
pub fn no_address(index: u32, address: Ipv6Addr, length: u8) -> Request {
    Request::new(RouteNetlinkMessage::DelAddress(address_message(index, address, length)), 0)
}

fn address_message(index: u32, address: Ipv6Addr, length: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = length;
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V6(address)), AddressAttribute::Address(IpAddr::V6(address))];
    message
}

/// `ip route add default via GATEWAY dev INDEX table TABLE metric METRIC onlink`.
pub fn default_route(index: u32, gateway: Ipv6Addr, table: u8) -> Request {
    let mut message = route(index, table);
    message.header.flags = RouteFlags::Onlink;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet6(gateway)));
    message.attributes.push(RouteAttribute::Priority(DEFAULT_ROUTE_METRIC));
    Request::new(RouteNetlinkMessage::NewRoute(message), CREATE)
}

/// `ip route add ADDRESS/LENGTH dev INDEX table TABLE`.
pub fn link_route(index: u32, address: Ipv6Addr, length: u8, table: u8) -> Request {
    let mut message = route(index, table);
    message.header.destination_prefix_length = length;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
    Request::new(RouteNetlinkMessage::NewRoute(message), CREATE)
}

fn route(index: u32, table: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        table,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// `ip route add local ADDRESS dev INDEX table local expires SECONDS`: what comes for the address is taken in
/// although the kernel has not yet made its own route for that.
///
/// It makes that when duplicate address detection is done or left out, but either way in a work item that
/// waits for RTNL (`addrconf_dad_work`, net/ipv6/addrconf.c); until then it answers nothing. Its own has a better
/// metric, and stays.
pub fn passing_local_route(index: u32, address: Ipv6Addr, seconds: u32) -> Request {
    let mut message = route(index, RT_TABLE_LOCAL);
    message.header.kind = RouteType::Local;
    message.header.destination_prefix_length = 128;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
    message.attributes.push(RouteAttribute::Expires(seconds));
    Request::new(RouteNetlinkMessage::NewRoute(message), CREATE)
}

/// `ip neigh replace ADDRESS lladdr MAC dev LINK nud permanent`.
pub fn neighbour(link: u32, address: Ipv6Addr, mac: Mac) -> Request {
    let mut message = neighbour_message(link, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    Request::new(RouteNetlinkMessage::NewNeighbour(message), REPLACE)
}

/// `ip neigh del ADDRESS dev LINK`.
pub fn no_neighbour(link: u32, address: Ipv6Addr) -> Request {
    Request::new(RouteNetlinkMessage::DelNeighbour(neighbour_message(link, address)), 0)
}

fn neighbour_message(link: u32, address: Ipv6Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = link;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)));
    message
}

/// `bridge fdb replace MAC dev PORT master static`.
pub fn forwarding_entry(port: u32, mac: Mac) -> Request {
    Request::new(forwarding_message(port, mac), REPLACE)
}

/// `bridge fdb add MAC dev PORT master static`: `EEXIST` if the bridge has the MAC elsewhere.
pub fn new_forwarding_entry(port: u32, mac: Mac) -> Request {
    Request::new(forwarding_message(port, mac), CREATE)
}

fn forwarding_message(port: u32, mac: Mac) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Asks for all IPv6 neighbours of one link.
pub fn neighbours() -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    RouteNetlinkMessage::GetNeighbour(message)
}

/// Asks for all IPv6 addresses.
pub fn addresses() -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    RouteNetlinkMessage::GetAddress(message)
}

/// Asks for all IPv6 routes.
pub fn routes() -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    RouteNetlinkMessage::GetRoute(message)
}

/// The destination of a route in the main table, with the link it goes out of.
pub fn destination(message: &RouteMessage) -> Option<(Ipv6Net, u32)> {
    if message.header.table != RouteHeader::RT_TABLE_MAIN || message.header.kind != RouteType::Unicast {
        return None;
    }
    let mut address = Ipv6Addr::UNSPECIFIED;
    let mut link = 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet6(found)) => address = *found,
            RouteAttribute::Oif(index) => link = *index,
            _ => {}
        }
    }
    Some((Ipv6Net::new(address, message.header.destination_prefix_length).ok()?, link))
}

/// Whether a route was learned from a router advertisement and is a default route.
pub fn is_advertised_default(message: &RouteMessage) -> bool {
    message.header.protocol == RouteProtocol::Ra && message.header.destination_prefix_length == 0
}

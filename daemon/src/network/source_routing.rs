//! What comes from a container's own address leaves by its own interface.
//!
//! # Theory of operation
//! The default route inside wins by its metric, but not over routes to something nearer: pasta copies those
//! of the host into the namespace, the one to the host's own link among them. A host on that link would reach
//! the container's address and be answered through pasta, which has never heard of the connection and drops
//! the answer. So a table of its own has the ways out, and a rule before that of the main table sends there
//! what has our address as its source. The main table stays as it is for everything else: connections
//! that another interface's address has, and those that have yet to get an address.
//!
//! The routes end with the interface. The rule does not, where the namespace outlives it; then it leads to an
//! empty table, which is as good as none, and the next attachment of that namespace replaces it.

use std::{io, net::Ipv6Addr};

use ipnet::Ipv6Net;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage},
};
use rustix::io::Errno;

use super::{
    netlink::{Request, Socket},
    request,
};

/// The number of the table: "v" in ASCII.
const TABLE: u8 = 0x76;

/// The priority of the rule: it comes before the main table's, which has 32766.
const PRIORITY: u32 = 0x7636;

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// Sends what comes from `address` to its own prefix and to link-local addresses straight out of the
/// interface `index`, and everything else to the gateway there. For a thread inside the namespace.
///
/// # Errors
/// The kernel's. That it has no rules for IPv6 (CONFIG_IPV6_MULTIPLE_TABLES) is none.
pub fn set_up(
    socket: &mut Socket,
    index: u32,
    address: Ipv6Addr,
    prefix: Ipv6Net,
    gateway: Ipv6Addr,
) -> io::Result<()> {
    let requests = vec![
        // What an earlier attachment has left, if there was one.
        Request::new(RouteNetlinkMessage::DelRule(rule()), 0),
        Request::new(RouteNetlinkMessage::NewRule(from(address)), NLM_F_CREATE | NLM_F_EXCL),
        request::link_route(index, LINK_LOCAL, 64, TABLE),
        request::link_route(index, prefix.network(), prefix.prefix_len(), TABLE),
        request::default_route(index, gateway, TABLE),
    ];
    let mut outcomes = socket.send(requests)?.into_iter().skip(1);
    match outcomes.next() {
        Some(Err(error)) if is_unknown(&error) => Ok(()),
        Some(Err(error)) => Err(error),
        _ => outcomes.collect(),
    }
}

/// A rule of ours, whatever its address.
fn rule() -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header = RuleHeader {
        family: AddressFamily::Inet6,
        table: TABLE,
        action: RuleAction::ToTable,
        ..RuleHeader::default()
    };
    message.attributes.push(RuleAttribute::Priority(PRIORITY));
    message
}

/// `ip -6 rule add from ADDRESS table TABLE priority PRIORITY`.
fn from(address: Ipv6Addr) -> RuleMessage {
    let mut message = rule();
    message.header.src_len = 128;
    message.attributes.push(RuleAttribute::Source(address.into()));
    message
}

/// What a kernel says that has no such messages.
fn is_unknown(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT))
}

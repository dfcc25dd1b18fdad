//! The ruleset: what every packet of a container goes through. How nft(8) prints it stands beside it in
//! `ruleset.nft`, and a test compares that with what the kernel says.
//!
//! # Theory of operation
//! Every host's end of a link is called `v6p` and twelve hexadecimal digits, so the rules are there before
//! any link is, match by that name and drop what is not expressly allowed; the elements that
//! [`elements`](super::elements) adds open them for one container. No rule is about one container.
//!
//! `table bridge v6pod` sees what comes from a container before the bridge does (prerouting, before anyone
//! else's rules, before fragments are put together and before the bridge could learn an address from it):
//! - only IPv6 frames without a tag; source MAC and source address have to be the container's own, either
//!   the one it was given or the link-local one made from its MAC;
//! - a neighbour advertisement only for one of these two. Router advertisements, redirects, MLD queries and
//!   every other kind of ICMPv6 message that is not listed are dropped; behind an extension header or in
//!   fragments also neighbour discovery, which nobody sends that way (RFC 6980);
//! - a fragment has to say by itself what it carries: where its header is followed by another extension
//!   header, the ICMPv6 header could hide in the next fragment. No routing headers;
//! - no answers of a DHCPv6 server; no protocols but the listed ones.
//!
//! The bridge hands frames to some group addresses (01:80:c2:00:00:0e for one) to the port itself, past all
//! of its own hooks (`br_handle_frame`, net/bridge/br_input.c). `table inet v6pod` drops what arrives
//! that way, or because a port was taken off its bridge.
//!
//! Isolation: at the bridge a port's tenant is looked up by name, and then whether the port it goes out of
//! is of the same tenant. What is routed from one container to another is compared by address; containers
//! cannot forge theirs.

use ipnet::Ipv6Net;

use super::{
    field::Field,
    rule::{Rule, Test, Then, Verdict},
    set::{Holds, Key, Set},
    table::{Chain, Place, Table},
    wire::Family,
};
use crate::{
    config,
    guard::{Isolation, NOBODY},
};

/// For what comes from a container.
pub const BRIDGE: Place = Place { family: Family::Bridge, name: "v6pod" };
/// For what is routed.
pub const INET: Place = Place { family: Family::Inet, name: "v6pod" };
/// How the names of all ports begin.
pub const PORT: &[u8] = b"v6p";

// Sets and maps of which elements come and go.
/// The addresses of a port: name, MAC, address.
pub const ADDRESSES: &str = "addresses";
/// The MAC of a port, for what is sent before there is an address.
pub const SENDERS: &str = "senders";
/// At the bridge: what to do with a frame for another port; nothing on a network that is open.
pub const ISOLATION: &str = "isolation";
/// At the bridge: the tenant of a port.
pub const TENANT_OF: &str = "tenant_of";
/// At the bridge: tenant and port.
pub const TENANTS: &str = "tenants";
/// Routed: the user of an address.
pub const USER_OF: &str = "user_of";
/// Routed: user and address.
pub const USERS: &str = "users";
/// Routed: the group of an address.
pub const GROUP_OF: &str = "group_of";
/// Routed: group and address.
pub const GROUPS: &str = "groups";

// Constant ones.
const MESSAGES: &str = "messages";
const PROTOCOLS: &str = "protocols";
const BRIDGES: &str = "bridges";

/// The chain that compares tenants at the bridge.
pub const SAME_TENANT: &str = "same_tenant";
const FROM_CONTAINER: &str = "from_container";
const NO_SOURCE: &str = "no_source";
const DISCOVERY: &str = "discovery";
const BETWEEN: &str = "between";
const TO_CONTAINER: &str = "to_container";
const SAME_USER: &str = "same_user";
const SAME_GROUP: &str = "same_group";

const PREROUTING: u32 = 0;
const FORWARD: u32 = 2;
/// Before anyone else's in the bridge family (NF_BR_PRI_NAT_DST_BRIDGED is -300).
const BRIDGE_FIRST: i32 = -400;
/// Before fragments are put together (NF_IP_PRI_CONNTRACK_DEFRAG is -400).
const INET_FIRST: i32 = -450;
/// A little before where filters are.
const FILTER: i32 = -10;

const NFPROTO_IPV6: u8 = 10;
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// tcp, udp, dccp, esp, icmpv6, sctp, udplite.
const ALLOWED_PROTOCOLS: [u8; 7] = [TCP, UDP, 33, 50, ICMPV6, 132, 136];
/// Errors, echo request and reply, MLD reports and leaving: RFC 4443, RFC 2710, RFC 3810.
const ALLOWED_MESSAGES: [u8; 9] = [1, 2, 3, 4, 128, 129, 131, 132, 143];
const MLD_REPORTS: [u8; 3] = [131, 132, 143];
const ROUTER_SOLICITATION: u8 = 133;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Where clients listen; where servers send from is not fixed (RFC 8415, section 7.2).
const DHCPV6_CLIENT: [u8; 2] = 546u16.to_be_bytes();

/// The tables for these networks.
pub fn tables(networks: &[config::Network]) -> [Table; 2] {
    [bridge(networks), inet(networks)]
}

/// Whether any network keeps its tenants apart.
pub fn is_isolating(networks: &[config::Network]) -> bool {
    networks.iter().any(|network| network.isolation != Isolation::Open)
}

/// Whether a network compares users, or groups.
pub fn compares(networks: &[config::Network], isolation: Isolation) -> bool {
    networks.iter().any(|network| network.isolation == isolation)
}

pub fn rule(tests: impl Into<Vec<Test>>, verdict: Verdict) -> Rule {
    Rule { tests: tests.into(), then: Then::Do(verdict) }
}

/// What is dropped is counted, so that `nft list table bridge v6pod` tells of attacks.
pub fn drop_if(tests: impl Into<Vec<Test>>) -> Rule {
    Rule { tests: tests.into(), then: Then::Count(Verdict::Drop) }
}

pub fn is(field: Field, value: u8) -> Test {
    Test::Is(field, vec![value])
}

pub fn one_of(field: Field, set: &'static str) -> Test {
    Test::In(vec![field], set.into())
}

/// What is about the IPv6 header begins with this, for then nft(8) can say it in words.
pub fn ipv6() -> Test {
    Test::Is(Field::Content, IPV6.to_vec())
}

/// `iifname . ether saddr . FIELD`
fn own(field: Field) -> Vec<Field> {
    vec![Field::In, Field::EtherSource, field]
}

pub fn constant(name: &'static str, field: Field, values: &[u8]) -> Set {
    let keys = values.iter().map(|value| Key::new().octets(&[*value])).collect();
    Set { name: name.into(), key: vec![field], holds: Holds::Constant(keys) }
}

pub fn set(name: &'static str, key: &[Field]) -> Set {
    Set { name: name.into(), key: key.to_vec(), holds: Holds::Elements }
}

pub fn map(name: &'static str, key: Field, holds: Holds) -> Set {
    Set { name: name.into(), key: vec![key], holds }
}

fn bridge(networks: &[config::Network]) -> Table {
    let mut sets = vec![
        set(ADDRESSES, &[Field::In, Field::EtherSource, Field::Source]),
        set(SENDERS, &[Field::In, Field::EtherSource]),
        constant(MESSAGES, Field::IcmpType, &ALLOWED_MESSAGES),
        constant(PROTOCOLS, Field::Protocol, &ALLOWED_PROTOCOLS),
    ];
    let port = |field| Test::Is(field, PORT.to_vec());
    let first = rule([port(Field::In)], Verdict::Goto(FROM_CONTAINER.into()));
    let mut chains = vec![
        Chain { name: "prerouting".into(), hook: Some((PREROUTING, BRIDGE_FIRST)), rules: vec![first] },
        from_container(),
        discovery(),
        no_source(),
    ];
    if is_isolating(networks) {
        sets.extend([
            map(ISOLATION, Field::In, Holds::Verdicts),
            map(TENANT_OF, Field::In, Holds::Marks),
            set(TENANTS, &[Field::Mark, Field::Out]),
        ]);
        let apart = Rule {
            tests: vec![port(Field::In), port(Field::Out)],
            then: Then::Map(Field::In, ISOLATION.into()),
        };
        chains.extend([
            Chain { name: "forward".into(), hook: Some((FORWARD, BRIDGE_FIRST)), rules: vec![apart] },
            same(SAME_TENANT, &[], (Field::In, TENANT_OF), (Field::Out, TENANTS), Verdict::Accept),
        ]);
    }
    Table { place: BRIDGE, sets, chains }
}

/// Everything from a container. What most packets are comes first.
fn from_container() -> Chain {
    let is_for_clients = Test::Is(Field::DestinationPort, DHCPV6_CLIENT.to_vec());
    let is_not_for_clients = Test::Not(Field::DestinationPort, DHCPV6_CLIENT.to_vec());
    // The offset is in the upper 13 of 16 bits (RFC 8200, section 4.5).
    let is_later_fragment = Test::NotMasked(Field::FragmentOffset, vec![0xff, 0xf8], vec![0, 0]);
    let rules = vec![
        // A tag is in the one, and what is behind it in the other.
        drop_if([Test::Not(Field::EtherType, IPV6.to_vec())]),
        drop_if([Test::Not(Field::Content, IPV6.to_vec())]),
        rule([ipv6(), Test::Absent(own(Field::Source), ADDRESSES.into())], Verdict::Goto(NO_SOURCE.into())),
        rule([ipv6(), is(Field::NextHeader, TCP)], Verdict::Accept),
        rule([ipv6(), is(Field::NextHeader, UDP), is_not_for_clients], Verdict::Accept),
        rule([ipv6(), is(Field::NextHeader, ICMPV6)], Verdict::Goto(DISCOVERY.into())),
        // From here on: extension headers, fragments, and what is rare.
        drop_if([is(Field::Routing, 1)]),
        drop_if([Test::Absent(vec![Field::FragmentNext], PROTOCOLS.into())]),
        rule([is_later_fragment], Verdict::Accept),
        rule([is(Field::Protocol, ICMPV6), one_of(Field::IcmpType, MESSAGES)], Verdict::Accept),
        drop_if([is(Field::Protocol, ICMPV6)]),
        drop_if([is(Field::Protocol, UDP), is_for_clients]),
        rule([one_of(Field::Protocol, PROTOCOLS)], Verdict::Accept),
        drop_if([]),
    ];
    Chain { name: FROM_CONTAINER.into(), hook: None, rules }
}

/// ICMPv6 that directly follows the IPv6 header: the only place where neighbour discovery may be.
fn discovery() -> Chain {
    let icmp = |kind| [is(Field::Protocol, ICMPV6), is(Field::IcmpType, kind)];
    let own_target = Test::In(own(Field::Target), ADDRESSES.into());
    let rules = vec![
        rule([is(Field::Protocol, ICMPV6), one_of(Field::IcmpType, MESSAGES)], Verdict::Accept),
        rule(icmp(SOLICITATION), Verdict::Accept),
        rule(icmp(ROUTER_SOLICITATION), Verdict::Accept),
        rule([icmp(ADVERTISEMENT).to_vec(), vec![own_target]].concat(), Verdict::Accept),
        drop_if([]),
    ];
    Chain { name: DISCOVERY.into(), hook: None, rules }
}

/// A source that is not the container's, or none at all: looking for duplicates of its own addresses, and
/// MLD reports meanwhile (RFC 4862, section 5.4; RFC 3590).
fn no_source() -> Chain {
    let sender = Test::In(vec![Field::In, Field::EtherSource], SENDERS.into());
    let icmp = |kind| vec![is(Field::Protocol, ICMPV6), is(Field::IcmpType, kind)];
    let direct = vec![ipv6(), is(Field::NextHeader, ICMPV6)];
    let own_target = vec![Test::In(own(Field::Target), ADDRESSES.into())];
    let mut rules = vec![
        drop_if([ipv6(), Test::Not(Field::Source, vec![0; 16])]),
        rule([direct, icmp(SOLICITATION), own_target].concat(), Verdict::Accept),
    ];
    for kind in MLD_REPORTS {
        rules.push(rule([vec![sender.clone()], icmp(kind)].concat(), Verdict::Accept));
    }
    rules.push(drop_if([]));
    Chain { name: NO_SOURCE.into(), hook: None, rules }
}

fn inet(networks: &[config::Network]) -> Table {
    let names = networks.iter().map(|network| Key::new().link(&network.bridge)).collect();
    let mut sets = vec![Set { name: BRIDGES.into(), key: vec![Field::In], holds: Holds::Constant(names) }];
    // An own bridge's name may begin like a port's: "v6pod0" does.
    let stray = drop_if([Test::Is(Field::In, PORT.to_vec()), Test::Absent(vec![Field::In], BRIDGES.into())]);
    let mut chains =
        vec![Chain { name: "prerouting".into(), hook: Some((PREROUTING, INET_FIRST)), rules: vec![stray] }];
    if is_isolating(networks) {
        chains.extend(routed(networks));
        for (isolation, of, all, chain) in
            [(Isolation::User, USER_OF, USERS, SAME_USER), (Isolation::Group, GROUP_OF, GROUPS, SAME_GROUP)]
        {
            if compares(networks, isolation) {
                sets.push(map(of, Field::Source, Holds::Marks));
                sets.push(set(all, &[Field::Mark, Field::Destination]));
                let (from, to) = ((Field::Source, of), (Field::Destination, all));
                chains.push(same(chain, &[is(Field::Version, NFPROTO_IPV6)], from, to, Verdict::Return));
            }
        }
    }
    Table { place: INET, sets, chains }
}

/// Goes on if source and destination are the same tenant's, and drops what is not.
///
/// nf_tables compares a field with constants only; so the source's tenant becomes the packet's mark, and
/// mark and destination are looked up together. A mark that somebody else gave the packet is lost, but only
/// on the way from one container to another.
fn same(
    name: &'static str,
    layer: &[Test],
    (source, tenant_of): (Field, &'static str),
    (destination, tenants): (Field, &'static str),
    verdict: Verdict,
) -> Chain {
    let is_same = Test::In(vec![Field::Mark, destination], tenants.into());
    let rules = vec![
        Rule { tests: Vec::new(), then: Then::Mark(NOBODY, None) },
        Rule { tests: layer.to_vec(), then: Then::MarkOf(source, tenant_of.into()) },
        Rule { tests: [layer, &[is_same]].concat(), then: Then::Mark(0, Some(verdict)) },
        drop_if([]),
    ];
    Chain { name: name.into(), hook: None, rules }
}

/// From a container to a container, by way of the host: both networks have to agree.
fn routed(networks: &[config::Network]) -> [Chain; 3] {
    let mut forward = Vec::new();
    let mut to_container = Vec::new();
    let mut between = Vec::new();
    for network in networks {
        let from = within(Field::Source, network.prefix);
        let to = within(Field::Destination, network.prefix);
        forward
            .push(rule([is(Field::Version, NFPROTO_IPV6), from.clone()], Verdict::Goto(TO_CONTAINER.into())));
        to_container
            .push(rule([is(Field::Version, NFPROTO_IPV6), to.clone()], Verdict::Goto(BETWEEN.into())));
        let tests = [from, to].map(|test| vec![is(Field::Version, NFPROTO_IPV6), test]);
        let then = match network.isolation {
            Isolation::Open => continue,
            Isolation::User => Then::Do(Verdict::Jump(SAME_USER.into())),
            Isolation::Group => Then::Do(Verdict::Jump(SAME_GROUP.into())),
            Isolation::Isolated => Then::Count(Verdict::Drop),
        };
        between.extend(tests.map(|tests| Rule { tests, then: then.clone() }));
    }
    [
        Chain { name: "forward".into(), hook: Some((FORWARD, FILTER)), rules: forward },
        Chain { name: TO_CONTAINER.into(), hook: None, rules: to_container },
        Chain { name: BETWEEN.into(), hook: None, rules: between },
    ]
}

fn within(field: Field, prefix: Ipv6Net) -> Test {
    Test::Masked(field, prefix.netmask().octets().to_vec(), prefix.network().octets().to_vec())
}

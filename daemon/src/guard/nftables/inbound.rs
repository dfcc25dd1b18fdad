//! What may reach a container that does not take everything.
//!
//! # Theory of operation
//! Such a container has chains and sets of its own in `table bridge v6pod_inbound`, which exists only while
//! there is one. What it sends goes through one chain, which remembers whom it talks to; what is sent to it,
//! from wherever, leaves the bridge by its port and goes through another, which lets through what belongs to
//! a conversation that is remembered, what is for an open port, and neighbour discovery.
//!
//! Why not connection tracking: at a bridge it needs Linux 5.3 built with it, and once it is loaded every
//! packet of the host pays for it. This costs those alone who asked for it. Sets for each, because they are
//! bounded: nobody can fill another's. What is said from an open port is remembered apart, so that many
//! visitors leave room for what the container itself begins, and so that they can finish when the port is
//! closed. A beginning of TCP (SYN) is never part of a conversation: then they cannot begin anew.

use super::{
    field::Field,
    rule::{Name, Rule, Test, Then, Verdict},
    ruleset::{PORT, constant, drop_if, ipv6, is, map, one_of, rule},
    set::{Element, Holds, Key, Set},
    table::{Chain, Place, Table},
    wire::Family,
};
use crate::model::{Attachment, AttachmentId, Inbound, Ports};

/// The table.
pub const PLACE: Place = Place { family: Family::Bridge, name: "v6pod_inbound" };

const OUTGOING: &str = "outgoing";
const INCOMING: &str = "incoming";
const TRANSPORTS: &str = "transports";
const DISCOVERY: &str = "discovery";
const ERRORS: &str = "errors";

/// Behind the rules against forging (-400).
const PREROUTING: (u32, i32) = (0, -390);
const POSTROUTING: (u32, i32) = (4, 0);
/// The most conversations of one container at once, of either kind.
const CONVERSATIONS: u32 = 4096;

/// How long a conversation is remembered after the container last said something in it, in milliseconds,
/// after conntrack's defaults (Documentation/networking/nf_conntrack-sysctl.rst), but for TCP, of which a
/// keepalive every two hours is the least one can count on (RFC 9293, section 3.8.4).
mod remembered {
    const SECOND: u64 = 1000;
    pub const TCP: u64 = 2 * 3600 * SECOND + 5 * 60 * SECOND;
    pub const TCP_BEGUN: u64 = 120 * SECOND;
    pub const TCP_ENDING: u64 = 120 * SECOND;
    pub const OTHERS: u64 = 180 * SECOND;
    pub const ECHO: u64 = 30 * SECOND;
}

const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// tcp, udp, dccp, sctp, udplite: their ports are at the same place.
const WITH_PORTS: [u8; 5] = [TCP, 17, 33, 132, 136];
/// MLD and neighbour discovery. What a container may send of it, the other table knows.
const ALWAYS: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];
const ALL_ERRORS: [u8; 4] = [1, 2, 3, 4];
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const FIN_OR_RST: u8 = 0x05;
const SYN: u8 = 0x02;
const SYN_AND_ACK: u8 = 0x12;

/// Whether it needs any of this.
pub fn is_limited(attachment: &Attachment) -> bool {
    attachment.inbound != Inbound::Open
}

/// The table with what all have in common.
pub fn base() -> Table {
    let through = |field, map: &'static str| Rule {
        tests: vec![Test::Is(field, PORT.to_vec())],
        then: Then::Map(field, map.into()),
    };
    Table {
        place: PLACE,
        sets: vec![
            map(OUTGOING, Field::In, Holds::Verdicts),
            map(INCOMING, Field::Out, Holds::Verdicts),
            constant(TRANSPORTS, Field::Protocol, &WITH_PORTS),
            constant(DISCOVERY, Field::IcmpType, &ALWAYS),
            constant(ERRORS, Field::IcmpType, &ALL_ERRORS),
        ],
        chains: vec![
            Chain {
                name: "prerouting".into(),
                hook: Some(PREROUTING),
                rules: vec![through(Field::In, OUTGOING)],
            },
            Chain {
                name: "postrouting".into(),
                hook: Some(POSTROUTING),
                rules: vec![through(Field::Out, INCOMING)],
            },
        ],
    }
}

/// What one attachment has in it: to be written before, and removed after, its [`elements`].
pub fn own(attachment: &Attachment) -> Table {
    let id = attachment.id;
    let ports = match &attachment.inbound {
        Inbound::Open | Inbound::Established => &[][..],
        Inbound::Ports(ports) => ports,
    };
    let [with, served] = conversations(id);
    let set = |name: &Name| Set {
        name: name.clone(),
        key: vec![Field::Source, Field::Protocol, Field::DestinationPort, Field::SourcePort],
        holds: Holds::Remembered(CONVERSATIONS),
    };
    let out = outgoing(ports, &with, &chain("serves", id));
    Table {
        place: PLACE,
        sets: vec![set(&with), set(&served)],
        // In the order in which they can be removed: none is gone to by one that comes later.
        chains: vec![
            Chain { name: chain("out", id), hook: None, rules: out },
            Chain { name: chain("serves", id), hook: None, rules: remembering(&served) },
            Chain { name: chain("in", id), hook: None, rules: incoming(ports, &with, &served) },
        ],
    }
}

/// What leads packets of its port into its chains.
pub fn elements(attachment: &Attachment) -> Vec<Element> {
    let id = attachment.id;
    let port = || Key::new().link(&id.host_interface());
    vec![
        Element::verdict(OUTGOING, port(), Verdict::Goto(chain("out", id))),
        Element::verdict(INCOMING, port(), Verdict::Goto(chain("in", id))),
    ]
}

/// The sets of an attachment's conversations: those it began, and those of its open ports. In them are with
/// whom, the protocol, its own port, the other's.
pub fn conversations(id: AttachmentId) -> [Name; 2] {
    [chain("with", id), chain("served", id)]
}

fn chain(kind: &str, id: AttachmentId) -> Name {
    format!("{kind}_{id}").into()
}

/// Of these ports, those of the field.
fn of_ports(ports: &Ports, field: Field) -> Vec<Test> {
    let test = if ports.first == ports.last {
        Test::Is(field, ports.first.to_be_bytes().to_vec())
    } else {
        Test::Between(field, ports.first.to_be_bytes().to_vec(), ports.last.to_be_bytes().to_vec())
    };
    vec![is(Field::Protocol, ports.protocol.number()), test]
}

fn outgoing(ports: &[Ports], with: &Name, serves: &Name) -> Vec<Rule> {
    let answers =
        ports.iter().map(|ports| rule(of_ports(ports, Field::SourcePort), Verdict::Goto(serves.clone())));
    let mut rules: Vec<_> = answers.collect();
    rules.extend(remembering(with));
    let echo = vec![ipv6(), is(Field::Protocol, ICMPV6), is(Field::IcmpType, ECHO_REQUEST)];
    let fields = vec![Field::Destination, Field::Protocol, Field::EchoId, Field::EchoId];
    rules.push(Rule { tests: echo, then: Then::Remember(fields, with.clone(), remembered::ECHO) });
    rules
}

/// Remembers what has ports. If there is no room left, nothing happens.
fn remembering(set: &Name) -> Vec<Rule> {
    let fields = [Field::Destination, Field::Protocol, Field::SourcePort, Field::DestinationPort];
    let remember = |tests, time| Rule { tests, then: Then::Remember(fields.to_vec(), set.clone(), time) };
    let tcp = |test| vec![ipv6(), is(Field::Protocol, TCP), test];
    vec![
        remember(tcp(Test::NotMasked(Field::TcpFlags, vec![FIN_OR_RST], vec![0])), remembered::TCP_ENDING),
        remember(tcp(Test::Masked(Field::TcpFlags, vec![SYN], vec![SYN])), remembered::TCP_BEGUN),
        remember(vec![ipv6(), is(Field::Protocol, TCP)], remembered::TCP),
        remember(vec![ipv6(), one_of(Field::Protocol, TRANSPORTS)], remembered::OTHERS),
    ]
}

fn incoming(ports: &[Ports], with: &Name, served: &Name) -> Vec<Rule> {
    let in_set = |set: &Name, fields: [Field; 4]| Test::In(fields.to_vec(), set.clone());
    let talk = [Field::Source, Field::Protocol, Field::DestinationPort, Field::SourcePort];
    let icmp = |kind| vec![ipv6(), is(Field::Protocol, ICMPV6), is(Field::IcmpType, kind)];
    // Without its first one, which has the ports, it comes to nothing. RFC 8200, section 4.5.
    let is_later_fragment = Test::NotMasked(Field::FragmentOffset, vec![0xff, 0xf8], vec![0, 0]);
    let is_begin = Test::Masked(Field::TcpFlags, vec![SYN_AND_ACK], vec![SYN]);
    let open = ports.iter().map(|ports| rule(of_ports(ports, Field::DestinationPort), Verdict::Accept));
    let mut rules: Vec<_> = open.collect();
    rules.extend([
        rule([is_later_fragment], Verdict::Accept),
        drop_if([is(Field::Protocol, TCP), is_begin]),
        rule([ipv6(), one_of(Field::Protocol, TRANSPORTS), in_set(with, talk)], Verdict::Accept),
        rule([ipv6(), one_of(Field::Protocol, TRANSPORTS), in_set(served, talk)], Verdict::Accept),
        rule([is(Field::Protocol, ICMPV6), one_of(Field::IcmpType, DISCOVERY)], Verdict::Accept),
    ]);
    let reply = in_set(with, [Field::Source, Field::Protocol, Field::EchoId, Field::EchoId]);
    rules.push(rule([icmp(ECHO_REPLY), vec![reply]].concat(), Verdict::Accept));
    let quoted = |port, other| [Field::QuotedDestination, Field::QuotedProtocol, port, other];
    let talk = quoted(Field::QuotedSourcePort, Field::QuotedDestinationPort);
    let echo = quoted(Field::QuotedEchoId, Field::QuotedEchoId);
    for known in [in_set(with, talk), in_set(served, talk), in_set(with, echo)] {
        let error = [is(Field::Protocol, ICMPV6), one_of(Field::IcmpType, ERRORS), known];
        rules.push(rule(error, Verdict::Accept));
    }
    rules.push(drop_if([]));
    rules
}

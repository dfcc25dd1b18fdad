//! What may reach a container that does not take everything.
//!
//! # Theory of operation
//! Such a container has two chains and a set of its own in `table bridge v6pod_inbound`, which exists only
//! while there is one. What it sends goes through the one chain, which remembers in the set whom it talks
//! to; what is sent to it, from wherever, leaves the bridge by its port and goes through the other, which
//! lets through what belongs to a conversation that is remembered, what is for an open port, and neighbour
//! discovery.
//!
//! Why not connection tracking: at a bridge it needs Linux 5.3 built with it, and once it is loaded every
//! packet of the host pays for it. This costs those alone who asked for it. A set for each, because it is
//! bounded: nobody can fill another's. A beginning of TCP (SYN) is never part of a conversation: once a port
//! is closed, who talked to it before cannot begin anew.

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

/// Behind the rules against forging (-400).
const PREROUTING: (u32, i32) = (0, -390);
const POSTROUTING: (u32, i32) = (4, 0);
/// The most conversations of one container at once.
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
const ERRORS: [u8; 4] = [1, 2, 3, 4];
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
    let key = vec![Field::Source, Field::Protocol, Field::DestinationPort, Field::SourcePort];
    Table {
        place: PLACE,
        sets: vec![Set { name: conversations(id), key, holds: Holds::Remembered(CONVERSATIONS) }],
        chains: vec![
            Chain { name: chain("out", id), hook: None, rules: outgoing(ports, &conversations(id)) },
            Chain { name: chain("in", id), hook: None, rules: incoming(ports, &conversations(id)) },
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

/// The set of an attachment's conversations: with whom, the protocol, its own port, the other's.
pub fn conversations(id: AttachmentId) -> Name {
    chain("with", id)
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

fn outgoing(ports: &[Ports], with: &Name) -> Vec<Rule> {
    let tcp = || vec![ipv6(), is(Field::Protocol, TCP)];
    let remember = |tests, port, other, time| {
        let fields = vec![Field::Destination, Field::Protocol, port, other];
        Rule { tests, then: Then::Remember(fields, with.clone(), time) }
    };
    let talk = |tests, time| remember(tests, Field::SourcePort, Field::DestinationPort, time);
    let is_ending = Test::NotMasked(Field::TcpFlags, vec![FIN_OR_RST], vec![0]);
    let is_begun = Test::Masked(Field::TcpFlags, vec![SYN_AND_ACK], vec![SYN]);
    let echo = vec![ipv6(), is(Field::Protocol, ICMPV6), is(Field::IcmpType, ECHO_REQUEST)];
    // What a server says need not be remembered: the port is open.
    let answers = ports.iter().map(|ports| rule(of_ports(ports, Field::SourcePort), Verdict::Accept));
    let conversations = [
        talk([tcp(), vec![is_ending]].concat(), remembered::TCP_ENDING),
        talk([tcp(), vec![is_begun]].concat(), remembered::TCP_BEGUN),
        talk(tcp(), remembered::TCP),
        talk(vec![ipv6(), one_of(Field::Protocol, TRANSPORTS)], remembered::OTHERS),
        remember(echo, Field::EchoId, Field::EchoId, remembered::ECHO),
    ];
    answers.chain(conversations).collect()
}

fn incoming(ports: &[Ports], with: &Name) -> Vec<Rule> {
    let known = |first, protocol, port, other| Test::In(vec![first, protocol, port, other], with.clone());
    let icmp = |kind| vec![ipv6(), is(Field::Protocol, ICMPV6), is(Field::IcmpType, kind)];
    // Without its first one, which has the ports, it comes to nothing. RFC 8200, section 4.5.
    let is_later_fragment = Test::NotMasked(Field::FragmentOffset, vec![0xff, 0xf8], vec![0, 0]);
    let is_begin = Test::Masked(Field::TcpFlags, vec![SYN_AND_ACK], vec![SYN]);
    let open = ports.iter().map(|ports| rule(of_ports(ports, Field::DestinationPort), Verdict::Accept));
    let mut rules: Vec<_> = open.collect();
    rules.extend([
        rule([is_later_fragment], Verdict::Accept),
        drop_if([is(Field::Protocol, TCP), is_begin]),
        rule(
            [
                ipv6(),
                one_of(Field::Protocol, TRANSPORTS),
                known(Field::Source, Field::Protocol, Field::DestinationPort, Field::SourcePort),
            ],
            Verdict::Accept,
        ),
        rule([is(Field::Protocol, ICMPV6), one_of(Field::IcmpType, DISCOVERY)], Verdict::Accept),
    ]);
    let reply = known(Field::Source, Field::Protocol, Field::EchoId, Field::EchoId);
    rules.push(rule([icmp(ECHO_REPLY), vec![reply]].concat(), Verdict::Accept));
    for error in ERRORS {
        let quoted = |port, other| known(Field::QuotedDestination, Field::QuotedProtocol, port, other);
        let of_ports = quoted(Field::QuotedSourcePort, Field::QuotedDestinationPort);
        let of_echo = quoted(Field::QuotedEchoId, Field::QuotedEchoId);
        rules.push(rule([icmp(error), vec![of_ports]].concat(), Verdict::Accept));
        rules.push(rule([icmp(error), vec![of_echo]].concat(), Verdict::Accept));
    }
    rules.push(drop_if([]));
    rules
}

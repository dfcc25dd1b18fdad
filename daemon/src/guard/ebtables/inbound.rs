//! What may reach a container that does not take everything.
//!
//! ip6tables' connection tracking knows what belongs to a conversation. It sees what goes over a bridge only
//! if the kernel shows it that (br_netfilter, and `net.bridge.bridge-nf-call-ip6tables`, which is 1 where
//! nobody changed it: Documentation/networking/ip-sysctl.rst): without that nothing can be limited.

use std::fs;

use super::{
    program::{BRIDGE_FILTER, FILTER, Program},
    rules::{Admitted, Table},
};
use crate::{
    guard::Error,
    model::{Attachment, Inbound, Ports, Protocol},
};

/// Leads what is for such a container into its chain.
const CHAIN: &str = "V6POD-IN";
/// Whether ip6tables sees what goes over a bridge.
const SEES_BRIDGES: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
/// MLD and neighbour discovery. What a container may send of it, its port's chain knows.
const ALWAYS: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];
const ECHO_REQUEST: u8 = 128;

/// Whether what the attachment wants can be had here.
///
/// # Errors
/// [`Error::Unseen`].
pub fn is_possible(attachment: &Attachment) -> Result<(), Error> {
    if !is_limited(attachment) || fs::read_to_string(SEES_BRIDGES).is_ok_and(|value| value.trim() == "1") {
        return Ok(());
    }
    Err(Error::Unseen(SEES_BRIDGES))
}

fn is_limited(attachment: &Attachment) -> bool {
    attachment.inbound != Inbound::Open
}

/// The tables, if anybody is limited.
pub fn tables(admitted: &Admitted) -> Vec<(Program, Table)> {
    let limited: Vec<_> = admitted.values().filter(|attachment| is_limited(attachment)).collect();
    if limited.is_empty() {
        return Vec::new();
    }
    let (mut chains, mut to, mut multicast) = (Vec::new(), Vec::new(), Vec::new());
    for attachment in limited {
        let port = attachment.id.host_interface();
        chains.push((port.clone(), rules(attachment)));
        // From wherever by its addresses, and whatever the bridge hands it.
        to.extend(
            [attachment.address, attachment.mac.link_local()].map(|own| format!("-d {own}/128 -j {port}")),
        );
        to.push(format!("-m physdev --physdev-out {port} --physdev-is-bridged -j {port}"));
        // What this host itself sends to groups has no port before the bridge.
        multicast.push(format!("-p IPv6 -d Multicast -o {port} --ip6-proto ! ipv6-icmp -j DROP"));
    }
    chains.push((CHAIN.to_owned(), to));
    let hook = |from| (from, format!("-j {CHAIN}"));
    let filter = Table { hooks: vec![hook("FORWARD"), hook("OUTPUT")], chains };
    let bridge = Table { hooks: vec![hook("OUTPUT")], chains: vec![(CHAIN.to_owned(), multicast)] };
    vec![(FILTER, filter), (BRIDGE_FILTER, bridge)]
}

/// A beginning of TCP (SYN) is never part of a conversation, and an echo request never an answer.
fn rules(attachment: &Attachment) -> Vec<String> {
    let ports = match &attachment.inbound {
        Inbound::Open | Inbound::Established => &[][..],
        Inbound::Ports(ports) => ports,
    };
    let icmp = |kind: u8, target| format!("-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -j {target}");
    let mut rules: Vec<_> = ALWAYS.map(|kind| icmp(kind, "RETURN")).into();
    rules.extend(ports.iter().map(open));
    rules.extend([
        "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP".to_owned(),
        icmp(ECHO_REQUEST, "DROP"),
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".to_owned(),
        "-j DROP".to_owned(),
    ]);
    rules
}

fn open(ports: &Ports) -> String {
    let protocol = match ports.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
        Protocol::Dccp => "dccp",
    };
    let range = match (ports.first, ports.last) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}:{last}"),
    };
    format!("-p {protocol} -m {protocol} --dport {range} -j RETURN")
}

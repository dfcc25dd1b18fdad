//! What a container may send, at its port.

use super::{
    program::{Program, RAW, RAW_V4},
    rules::{Admitted, PORTS, Table},
};
use crate::model::Attachment;

/// The chain that all ports go through.
pub const CHAIN: &str = "V6POD";

/// One rule for each port that is known, and one that drops the rest.
pub fn table(admitted: &Admitted) -> Table {
    let mut chains: Vec<_> =
        admitted.values().map(|attachment| (attachment.id.host_interface(), rules(attachment))).collect();
    let known = admitted.keys().map(|id| format!("-i {0} -j {0}", id.host_interface()));
    chains.push((CHAIN.to_owned(), known.chain(["-j DROP".to_owned()]).collect()));
    Table { hooks: vec![("PREROUTING", format!("-i {PORTS} -j {CHAIN}"))], chains }
}

/// What one port may send. The addresses are the only ones it may have; the rest is dropped.
fn rules(attachment: &Attachment) -> Vec<String> {
    let link_local = attachment.mac.link_local();
    let icmp = |kind: u8| format!("-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {kind}");
    let no_source = |kind: u8| format!("{} --ip6-source :: -j ACCEPT", icmp(kind));
    let mut rules = vec![format!("-s ! {} -j DROP", attachment.mac), "-p ! IPv6 -j DROP".to_owned()];
    // MLD query, router advertisement, redirect, router renumbering.
    rules.extend([130, 134, 137, 138].map(|kind| format!("{} -j DROP", icmp(kind))));
    // For DHCPv6 clients: where servers send from is not fixed (RFC 8415, section 7.2).
    rules.push("-p IPv6 --ip6-proto udp --ip6-destination-port 546 -j DROP".to_owned());
    rules.extend([attachment.address, link_local].map(|own| format!("-p IPv6 --ip6-source {own} -j ACCEPT")));
    // Neighbour solicitation, MLD reports.
    rules.extend([135, 131, 132, 143].map(no_source));
    rules.push("-j DROP".to_owned());
    rules
}

/// What came in by a port itself is none of the bridge's, and so of nobody.
pub fn past_the_bridge() -> [(Program, Table); 2] {
    let stray = |digit: char| format!("-i v6p{digit}+ -j DROP");
    [RAW, RAW_V4].map(|program| {
        let rules = "0123456789abcdef".chars().map(stray).collect();
        let hooks = vec![("PREROUTING", format!("-j {CHAIN}"))];
        (program, Table { hooks, chains: vec![(CHAIN.to_owned(), rules)] })
    })
}

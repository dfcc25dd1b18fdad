//! Forged frames: with the guard none arrives, neither at another container nor at the host.

use std::collections::BTreeSet;

use crate::site::{OFF, PREFIX, Seen, Site, Traffic};

pub const CASE_34: &[&str] = &[
    "address-of-victim",
    "address-of-router",
    "address-unused",
    "address-from-outside",
    "address-link-local-of-router",
    "address-none",
    "address-by-tcp",
    "address-by-ping",
    "address-behind-options",
    "mac-unused",
    "mac-and-address-of-victim",
];
pub const CASE_35: &[&str] = &[
    "na-of-router",
    "na-of-router-link-local",
    "na-of-router-from-me",
    "na-of-unused-from-me",
    "na-of-neighbour",
    "na-of-neighbour-from-me",
    "na-behind-hop-by-hop",
    "na-in-fragments",
    "ns-from-neighbour",
    "ns-for-duplicates-of-victim",
    "ns-behind-hop-by-hop",
];
pub const CASE_36: &[&str] = &[
    "ra",
    "ra-to-one",
    "ra-behind-hop-by-hop",
    "ra-behind-destination-options",
    "ra-behind-both",
    "ra-in-fragments",
    "ra-in-one-fragment",
    "ra-hidden-in-fragments",
    "ra-behind-options-in-fragments",
    "ra-in-vlan-0",
    "ra-in-vlan-5",
    "ra-in-vlan-0-of-provider",
    "ra-in-two-vlans-0",
    "redirect",
    "redirect-from-me",
    "mld-query",
    "router-renumbering",
    "routing-header",
];
pub const CASE_37: &[&str] = &[
    "dhcpv6-server",
    "dhcpv6-server-from-any-port",
    "dhcpv6-server-link-local",
    "dhcpv6-server-behind-options",
    "dhcpv6-server-in-fragments",
    "arp-request",
    "arp-reply",
    "ipv4",
    "ipv4-in-vlan-0",
    "vlan-0",
    "spanning-tree",
    "unknown-ether-type",
    "unknown-protocol",
    "tunnel",
];
pub const CASE_38: &[&str] = &["mac-of-victim", "mac-of-router"];
pub const HONEST: &[&str] = &[
    "honest-tcp",
    "honest-ping",
    "honest-ping-in-fragments",
    "honest-udp-in-fragments",
    "honest-options",
    "honest-sctp",
    "honest-link-local",
    "honest-ns",
    "honest-na",
    "honest-na-link-local",
    "honest-duplicates",
    "honest-rs",
    "honest-mld-report",
    "honest-mld-report-without-address",
    "honest-error",
];

pub fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Nothing of it arrives, and all of it does without the guard.
#[track_caller]
fn nothing_arrives(attacks: &[&str]) {
    let control = Site::new(OFF);
    let Seen { victim, host } = control.fire(attacks);
    assert_eq!(&victim | &host, set(attacks), "an attack that does not work shows nothing");
    drop(control);

    let site = Site::new(PREFIX);
    let traffic = Traffic::new(&site);
    for _ in 0..3 {
        assert_eq!(site.fire(attacks), Seen::default());
    }
    traffic.lost_nothing();
}

#[test]
fn case_34_forged_sources_are_dropped() {
    nothing_arrives(CASE_34);
}

#[test]
fn case_35_claims_of_others_addresses_are_dropped() {
    nothing_arrives(CASE_35);
}

#[test]
fn case_36_a_container_is_no_router() {
    nothing_arrives(CASE_36);
}

#[test]
fn case_37_a_container_is_no_dhcp_server_and_speaks_ipv6_alone() {
    nothing_arrives(CASE_37);
}

#[test]
fn case_38_frames_with_others_macs_are_dropped() {
    nothing_arrives(CASE_38);
}

#[test]
fn what_is_honest_arrives() {
    let site = Site::new(PREFIX);
    let expected = set(HONEST);
    assert_eq!(site.fire(HONEST), Seen { victim: expected.clone(), host: expected });
}

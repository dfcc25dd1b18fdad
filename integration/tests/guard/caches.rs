//! What forged frames are for: neighbour caches, routes, forwarding entries, datagrams that look like
//! somebody else's. Each attack is first shown to work without the guard.

use std::fmt::Display;

use v6pod_integration::{Background, eventually};

use crate::site::{BRIDGE, GATEWAY, LATER, OFF, PREFIX, SOON, Site, Traffic, reached, wait_for};

/// Prints the sender of every datagram to port 5555, IPv6 and IPv4.
const RECEIVER: &str = r#"
import socket
receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
receiver.bind(("::", 5555))
print("listening", flush=True)
while True:
    print(receiver.recvfrom(2000)[1][0], flush=True)
"#;

/// Lets an attacked Linux be as gullible as it can be made.
const GULLIBLE: &str =
    "for key in accept_ra:2 accept_ra_defrtr:1 accept_redirects:1 suppress_frag_ndisc:0; do
    echo ${key#*:} >/proc/sys/net/ipv6/conf/v6pod0/${key%:*}
done";

/// Every way in which an advertisement reaches a Linux that does not know better.
const ADVERTISEMENTS: &[&str] = &[
    "ra",
    "ra-to-one",
    "ra-behind-hop-by-hop",
    "ra-behind-destination-options",
    "ra-behind-both",
    "ra-in-fragments",
    "ra-in-one-fragment",
    "ra-in-vlan-0",
    "ra-in-vlan-0-of-provider",
    "ra-in-two-vlans-0",
];

fn unless<E: Display>(wrong: bool, error: impl FnOnce() -> E) -> Result<(), E> {
    if wrong { Err(error()) } else { Ok(()) }
}

/// The MAC that the victim believes its neighbour to have.
fn believed(site: &Site) -> String {
    let neighbour = ["ip", "-6", "neigh", "show", site.neighbour.address(), "dev", "v6pod0"];
    let output = site.victim.run(&neighbour);
    output
        .text()
        .split_whitespace()
        .skip_while(|word| *word != "lladdr")
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn case_35_a_neighbour_cache_is_not_poisoned() {
    for (attack, receiver) in [("na-of-neighbour", "victim"), ("ns-from-neighbour", "victim")] {
        let control = Site::new(OFF);
        control.victim.ping(control.neighbour.address()).expect("they reach each other");
        control.send(&[attack]);
        let attacker = control.attacker.mac();
        eventually(SOON, || unless(believed(&control) != attacker, || format!("{attack}: {receiver}")));
        drop(control);

        let site = Site::new(PREFIX);
        site.victim.ping(site.neighbour.address()).expect("they reach each other");
        let before = site.host.run(["ip", "-6", "neigh", "show", "nud", "permanent"]).stdout;
        let traffic = Traffic::new(&site);
        site.fire(&[attack, "na-of-router", "na-of-router-link-local"]);
        assert_eq!(believed(&site), site.neighbour.mac(), "{attack}");
        assert_eq!(site.host.run(["ip", "-6", "neigh", "show", "nud", "permanent"]).stdout, before);
        let gateway = site.victim.run(&["ip", "-6", "neigh", "show", GATEWAY]);
        assert!(gateway.stdout.contains(&site.bridge_mac()), "{gateway}");
        traffic.lost_nothing();
    }
}

#[test]
fn case_35_the_bridges_link_local_address_is_not_claimed() {
    // The one neighbour inside that is not permanent, and that a container may use as its router.
    let link_local = |site: &Site| {
        let output = site.host.run(["ip", "-6", "-o", "address", "show", "dev", BRIDGE, "scope", "link"]);
        output.text().split_whitespace().nth(3).expect("an address").trim_end_matches("/64").to_owned()
    };
    let believed =
        |site: &Site, address: &str| site.victim.run(&["ip", "-6", "neigh", "show", address]).stdout;
    for (configuration, is_fooled) in [(OFF, true), (PREFIX, false)] {
        let site = Site::new(configuration);
        let address = link_local(&site);
        site.victim.ping(&format!("{address}%v6pod0")).expect("the bridge answers");
        site.fire(&["na-of-router-link-local"]);
        let found = believed(&site, &address);
        assert_eq!(found.contains(&site.attacker.mac()), is_fooled, "{configuration}{found}");
        assert_eq!(found.contains(&site.bridge_mac()), !is_fooled, "{configuration}{found}");
    }
}

/// The default routes that somebody learned.
fn learned(site: &Site, who: &str) -> String {
    let show = ["ip", "-6", "route", "show", "default", "proto", "ra"];
    match who {
        "the host" => site.host.run(show).stdout,
        _ => site.victim.run(&show).stdout,
    }
}

#[test]
fn case_36_nobody_learns_a_route_from_a_container() {
    let control = Site::new(OFF);
    control.host.sh(GULLIBLE);
    control.victim.sh(GULLIBLE);
    for attack in ADVERTISEMENTS {
        control.send(&[attack]);
        for who in ["the host", "the victim"] {
            eventually(SOON, || unless(learned(&control, who).is_empty(), || format!("{attack}: {who}")));
        }
        let forget = ["ip", "-6", "route", "del", "default", "proto", "ra"];
        control.host.run(forget);
        control.victim.run(&forget);
    }
    drop(control);

    let site = Site::new(PREFIX);
    site.host.sh(GULLIBLE);
    site.victim.sh(GULLIBLE);
    site.fire(ADVERTISEMENTS);
    assert_eq!((learned(&site, "the host"), learned(&site, "the victim")), (String::new(), String::new()));
}

#[test]
fn case_36_a_redirect_is_not_followed() {
    const OUTSIDE: &str = "2001:db8:77::1";
    for (configuration, is_fooled) in [(OFF, true), (PREFIX, false)] {
        let site = Site::new(configuration);
        site.victim.sh(GULLIBLE);
        // Redirects are believed of a router by its link-local address only.
        let router = site.host.run(["ip", "-6", "-o", "address", "show", "dev", BRIDGE, "scope", "link"]);
        let router = router.text().split_whitespace().nth(3).expect("an address").replace("/64", "");
        // What comes from its own address has a table of its own, whose router has no link-local address.
        site.victim.run(&["ip", "-6", "rule", "del", "priority", "30262"]);
        site.victim.run(&["ip", "-6", "route", "add", "2001:db8:77::/64", "via", &router, "dev", "v6pod0"]);
        let before = site.victim.run(&["ip", "-6", "route", "get", OUTSIDE]).stdout;
        assert!(before.contains(&router), "{before}");
        site.fire(&["redirect"]);
        let after = site.victim.run(&["ip", "-6", "route", "get", OUTSIDE]).stdout;
        assert_eq!(!after.contains(&router), is_fooled, "{configuration}{after}");
    }
}

#[test]
fn case_38_the_bridge_learns_no_macs() {
    let table = |site: &Site| site.host.sh(&format!("bridge fdb show br {BRIDGE} | sort")).stdout;
    let control = Site::new(OFF);
    // As a bridge is without us: it learns, and has no entry that stays.
    for container in [&control.attacker, &control.victim] {
        let port = container.port();
        control.host.run(["bridge", "link", "set", "dev", &port, "learning", "on"]);
        control.host.run(["bridge", "fdb", "del", &container.mac(), "dev", &port, "master"]);
    }
    control.victim.ping(GATEWAY).expect("it reaches the host");
    control.send(&["mac-of-victim"]);
    let stolen = format!("{} dev {} master", control.victim.mac(), control.attacker.port());
    eventually(SOON, || unless(!table(&control).contains(&stolen), || table(&control)));
    drop(control);

    let site = Site::new(PREFIX);
    let before = table(&site);
    let traffic = Traffic::new(&site);
    site.fire(&["mac-of-victim", "mac-of-router", "mac-unused"]);
    assert_eq!(table(&site), before);
    traffic.lost_nothing();
    // Nor would it if the port were made to learn: the frames are gone before the bridge sees them.
    for container in [&site.attacker, &site.victim] {
        site.host.run(["bridge", "link", "set", "dev", &container.port(), "learning", "on"]);
    }
    site.fire(&["mac-of-victim", "mac-of-router", "mac-unused"]);
    assert!(!table(&site).contains("02:de:ad:be:ef:01"), "{}", table(&site));
    assert!(table(&site).contains(&format!("{} dev {} master", site.victim.mac(), site.victim.port())));
}

/// Frames to this group are not the bridge's to forward: they go on to the port's own protocols.
#[test]
fn case_34_nothing_gets_past_the_bridge() {
    let prepare = |site: &Site| -> Background {
        site.host.sh("ip address add 198.51.100.9/32 dev lo; echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
        let receiver = site.host.spawn(["python3", "-c", RECEIVER]);
        wait_for(&receiver, "listening");
        receiver
    };
    // A port like any other: it has IPv6 and answers ARP.
    let open = |site: &Site| {
        let port = site.attacker.port();
        site.host
            .sh(&format!("ip link set {port} arp on; echo 0 >/proc/sys/net/ipv6/conf/{port}/disable_ipv6"));
    };
    let attacks = ["past-the-bridge", "past-the-bridge-by-ipv4"];
    let control = Site::new(OFF);
    let receiver = prepare(&control);
    open(&control);
    control.send(&attacks);
    for forged in ["2001:db8:1::dead", "::ffff:198.51.100.1"] {
        wait_for(&receiver, forged);
    }
    drop((receiver, control));

    let site = Site::new(PREFIX);
    let receiver = prepare(&site);
    for is_open in [false, true] {
        if is_open {
            open(&site);
        }
        site.send(&[attacks[0], attacks[1], "honest-udp"]);
        wait_for(&receiver, site.attacker.address());
        let log = receiver.log().replace(site.attacker.address(), "");
        assert_eq!(log.split_whitespace().collect::<Vec<_>>(), ["listening"], "the port is open: {is_open}");
    }
    // Nor does a port that somebody takes off the bridge become a way in.
    site.host.run(["ip", "link", "set", &site.attacker.port(), "nomaster"]);
    site.send(&["honest-udp", attacks[0]]);
    site.victim.ping(GATEWAY).expect("it reaches the host");
    assert!(!receiver.log().contains("dead"), "{}", receiver.log());
}

#[test]
fn case_39_who_changes_mac_or_address_loses_service_alone() {
    let site = Site::new(PREFIX);
    let traffic = Traffic::new(&site);
    site.attacker.ping(GATEWAY).expect("it reaches the host");

    site.attacker.run(&["ip", "link", "set", "v6pod0", "address", "02:de:ad:be:ef:01"]);
    site.attacker.ping(GATEWAY).expect_err("another MAC");
    site.attacker.run(&["ip", "link", "set", "v6pod0", "address", &site.attacker.mac()]);
    eventually(SOON, || site.attacker.ping(GATEWAY));

    site.attacker.run(&["ip", "address", "add", "2001:db8:1::dead/80", "dev", "v6pod0", "nodad"]);
    let from = |address: &str| {
        let ping = ["ping", "-6", "-n", "-c1", "-W1", "-I", address, GATEWAY];
        reached(site.attacker.namespace.inside(&ping).try_run())
    };
    from("2001:db8:1::dead").expect_err("another address");
    from(site.attacker.address()).expect("its own");
    // Nobody finds it there either.
    reached(site.host.try_run(["ping", "-6", "-n", "-c1", "-W1", "2001:db8:1::dead"]))
        .expect_err("not its address");
    traffic.lost_nothing();
}

#[test]
fn case_40_ports_come_and_go_and_the_host_stays_as_it_is() {
    let site = Site::new(PREFIX);
    let traffic = Traffic::new(&site);
    let mac = site.bridge_mac();
    let rules = || site.host.run(["nft", "-s", "list", "ruleset"]).stdout;
    let before = rules();
    let user = site.host.user("alice");
    let namespaces = v6pod_integration::Namespaces::new(&user, 50);
    let attached = user.attach(&namespaces, 8);
    assert_eq!(attached.len(), 50);
    assert_eq!(site.bridge_mac(), mac);
    let now = rules();
    assert_eq!(
        now.matches("v6p*").count(),
        before.matches("v6p*").count(),
        "rules for ports, and not for one"
    );
    for one in &attached {
        assert!(now.contains(&one.address), "{} is not admitted", one.address);
    }
    namespaces.kill();
    eventually(LATER, || unless(rules() != before, rules));
    assert_eq!(site.bridge_mac(), mac);
    traffic.lost_nothing();
}

/// RFC 6583: whoever may send to the prefix sends to addresses that nobody has.
#[test]
fn nobody_is_looked_for_who_is_not_there() {
    const MANY: u64 = 300;
    let site = Site::new(PREFIX);
    let sweep = r#"
import socket, sys
sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    try:
        sender.sendto(b"x", (f"2001:db8:1::{sys.argv[1]}:{number:x}", 9))
    except OSError:
        pass
"#;
    let heard = || {
        let link = site.victim.run(&["ip", "-s", "-j", "link", "show", "v6pod0"]).json();
        link[0]["stats64"]["rx"]["packets"].as_u64().expect("a number")
    };
    let looked_for = || {
        let list = "ip -6 neigh show dev v6pod0 | grep -Ec 'INCOMPLETE|PROBE' || true";
        site.host.sh(list).text().parse::<u64>().expect("a number")
    };
    let count = MANY.to_string();
    let before = heard();
    site.host.run(["python3", "-c", sweep, "a", &count]);
    assert_eq!(looked_for(), 0);
    assert!(heard() - before < MANY / 10, "{} frames", heard() - before);
    // The control: what Linux does by itself.
    site.host.sh("echo 3 >/proc/sys/net/ipv6/neigh/v6pod0/mcast_solicit");
    let before = heard();
    site.host.run(["python3", "-c", sweep, "b", &count]);
    assert!(looked_for() > 0);
    eventually(SOON, || unless(heard() - before < MANY / 10, || format!("{} frames", heard() - before)));
}

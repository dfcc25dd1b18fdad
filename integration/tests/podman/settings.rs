//! What a configuration can say, seen in a container: no prefix at all, a bridge that is there already, and
//! how addresses are chosen.

use v6pod_integration::{Background, Host, LATER, Net, eventually};

use crate::site::{address, serve};

const UNIT: &str = include_str!("../../../packaging/v6podd.service");

#[test]
fn without_a_configuration_there_is_a_prefix_and_it_stays() {
    let host = Host::new("one", &["alice", "bob"]);
    let mut daemon = host.daemon("");
    let web = serve(&host.user("alice"), "web", &[]);
    assert!(web.starts_with("fd"), "RFC 4193: {web}");
    host.run(["ping", "-6", "-c1", "-W2", &web]);
    let prefix = host.run(["cat", "/var/lib/v6pod/prefix"]).text().to_owned();
    daemon.kill9();
    daemon.start();
    assert_eq!(host.run(["cat", "/var/lib/v6pod/prefix"]).text(), prefix);
    let shop = serve(&host.user("bob"), "shop", &[]);
    assert_eq!(web.split(':').take(3).collect::<Vec<_>>(), shop.split(':').take(3).collect::<Vec<_>>());
}

#[test]
fn a_bridge_that_is_there_is_joined_and_left_as_it_is() {
    let net = Net::new();
    let host = Host::new("one", &["alice"]);
    let link = net.join(&host);
    host.sh(&format!(
        "ip link add docker0 type bridge; ip address add {}/80 dev docker0 nodad; ip link set docker0 up",
        link.gateway
    ));
    let before = host.run(["ip", "-details", "-oneline", "link", "show", "docker0"]).text().to_owned();
    let configuration = format!("[network.default]\nprefix = \"{}\"\njoin = \"docker0\"\n", link.prefix);
    let daemon = host.daemon(&configuration);
    let alice = host.user("alice");
    let web = serve(&alice, "web", &[]);
    net.router().run(["ping", "-6", "-c1", "-W2", &web]);
    let ports = host.run(["ip", "-o", "link", "show", "master", "docker0"]);
    assert!(ports.stdout.contains("v6p"), "{ports}");
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    drop(daemon);
    // The address, the mark that it does not have, and what a bridge can be told are as they were.
    let after = host.run(["ip", "-details", "-oneline", "link", "show", "docker0"]).text().to_owned();
    let settings = |text: &str| -> Vec<String> {
        let words: Vec<_> = text.split_whitespace().collect();
        let kept = ["mtu", "stp_state", "ageing_time", "mcast_snooping", "vlan_filtering", "alias"];
        words.windows(2).filter(|pair| kept.contains(&pair[0])).map(|pair| pair.join(" ")).collect()
    };
    assert_eq!(settings(&before), settings(&after), "{after}");
}

#[test]
fn the_owner_can_be_read_in_the_address() {
    let net = Net::new();
    let host = Host::new("one", &["alice"]);
    let link = net.join(&host);
    let configuration = format!("[network.default]\nprefix = \"{}\"\naddresses = \"owner\"\n", link.prefix);
    let _daemon = host.daemon(&configuration);
    let alice = host.user("alice");
    let web = serve(&alice, "web", &[]);
    // uids of seven digits and more are written in hexadecimal: 0a, the uid, a counter.
    let octets = web.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    assert_eq!(octets[10], 0x0a, "{web}");
    assert_eq!(octets[11..15], alice.uid().to_be_bytes(), "{web}");
    assert_eq!(address(&alice, "web"), web);
}

/// Starts v6podd with no more than the unit gives it.
fn bounded(host: &Host) -> Background {
    let set =
        UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a bounding set");
    let kept: String = set.split_whitespace().map(|name| format!(",+{}", name[4..].to_lowercase())).collect();
    let kept = format!("-all{kept}");
    let daemon = ["--no-new-privs", "--inh-caps", &kept, "--bounding-set", &kept, "/usr/sbin/v6podd"];
    let started = host.spawn(["setpriv"].into_iter().chain(daemon));
    let status = || host.try_run(["v6pod", "status"]);
    eventually(LATER, || if status().success() { Ok(()) } else { Err(started.log()) });
    started
}

#[test]
fn the_units_capabilities_are_enough() {
    let net = Net::new();
    let host = Host::new("one", &["alice"]);
    let link = net.join(&host);
    // The probe takes the caller's uid; the ioctls would need less.
    let configuration = format!("prefix = \"{}\"\nnamespace_proof = \"probe\"\n", link.prefix);
    host.write("/etc/v6pod/v6podd.toml", &configuration);
    let mut daemon = bounded(&host);
    let alice = host.user("alice");
    let web = serve(&alice, "web", &[]);
    net.router().run(["ping", "-6", "-c1", "-W2", &web]);
    host.run(["v6pod", "check", "web"]);
    // A restart finds the lease again in its holder's /proc, and its end is seen.
    daemon.kill9();
    let _daemon = bounded(&host);
    assert_eq!(address(&alice, "web"), web);
    alice.podman(["stop", "-t", "0", "web"]);
    eventually(LATER, || match host.run(["v6pod", "list", "--json"]).json()["attachments"].as_array() {
        Some(list) if list.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

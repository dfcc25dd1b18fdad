//! What only podman's CNI networks have.

use crate::{
    site::Site,
    way::{Kind, Way},
};

/// IPv4 by everybody's plugins, IPv6 by ours.
const PACKAGED: &str = include_str!("../../../packaging/cni/10-v6pod.conflist.example");

fn the_packaged_network(way: Way) {
    let site = Site::new(way);
    let alice = site.alice();
    let folder = if way.is_rootful { "/etc/cni/net.d" } else { "/home/alice/.config/cni/net.d" };
    let script = format!("cat >{folder}/10-v6pod.conflist");
    alice.command(["bash", "-euc", &script]).in_engine().input(PACKAGED).run();

    alice.podman(["run", "-d", "--name", "web", "--network", "v6pod", "busybox", "sleep", "1000"]);
    let ipv4 = alice.podman(["exec", "web", "ip", "-4", "-o", "address", "show", "dev", "eth0"]);
    assert!(ipv4.stdout.contains("inet 10.89.0."), "{ipv4}");
    let route = alice.podman(["exec", "web", "ip", "-4", "route", "show", "default"]);
    assert!(route.stdout.contains("default via 10.89.0.1"), "{route}");
    let address = site.address(&alice, "web");
    let ipv6 = alice.podman(["exec", "web", "ip", "-6", "-o", "address", "show", "dev", "v6pod0"]);
    assert!(ipv6.stdout.contains(&address), "{ipv6}");
    assert_eq!(site.lookup("web"), [address.as_str()]);
    site.net.router().run(["ping", "-6", "-c1", "-w10", &address]);
    let resolvers = alice.podman(["exec", "web", "cat", "/etc/resolv.conf"]);
    assert_eq!(resolvers.stdout.lines().next(), Some(&format!("nameserver {}", site.link.gateway)[..]));
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_attached();
}

#[test]
fn the_packaged_network_of_root_in_debian_11() {
    the_packaged_network(Way::roots(Kind::Cni, "11"));
}

#[test]
fn the_packaged_network_of_root_in_debian_12() {
    the_packaged_network(Way::roots(Kind::Cni, "12"));
}

#[test]
fn the_packaged_network_of_a_user_in_debian_12() {
    the_packaged_network(Way::users(Kind::Cni, "12"));
}

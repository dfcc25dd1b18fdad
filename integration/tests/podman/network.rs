//! What a container has: an address within the prefix, a route, and everybody to talk to, who see it under
//! that very address.

use std::{thread, time::Duration};

use v6pod_integration::{Host, LATER, Net, User, curl, eventually};

use crate::site::{Site, address, serve};

fn pair() -> (Net, Site, Site) {
    let net = Net::new();
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| Site::new(&net, "one", &["alice", "bob"]));
        let other = scope.spawn(|| Site::new(&net, "other", &["carol"]));
        (one.join().expect("one"), other.join().expect("other"))
    });
    (net, one, other)
}

/// Fetches the page of `server` from inside a container and tells whom the server saw.
#[track_caller]
fn fetch(user: &User, container: &str, server: (&User, &str, &str)) -> String {
    let (owner, name, address) = server;
    user.podman(["exec", container, "ping", "-6", "-c", "1", "-w", "10", address]);
    let url = format!("http://[{address}]/");
    let responses = || -> Vec<String> {
        let log = owner.podman(["logs", name]);
        let lines = log.stderr.lines().chain(log.stdout.lines());
        lines.filter(|line| line.contains("response:")).map(str::to_owned).collect()
    };
    let before = responses().len();
    let page = user.podman(["exec", container].into_iter().chain(curl(&url)));
    assert!(!page.stdout.is_empty(), "{page}");
    // conmon writes it down a moment later.
    let last = eventually(LATER, || {
        let seen = responses();
        if seen.len() > before { Ok(seen[seen.len() - 1].clone()) } else { Err("the server saw nobody") }
    });
    // `[2001:db8::1]:40132: response:200` is how busybox httpd writes it.
    last.split("]:").next().unwrap_or_default().trim_start_matches('[').to_owned()
}

#[test]
fn the_address_is_the_prefix_and_the_mac_and_the_route_is_ours() {
    let net = Net::new();
    let site = Site::new(&net, "one", &["alice"]);
    let alice = site.host.user("alice");
    let address = serve(&alice, "web", &[]);
    let within: std::net::Ipv6Addr = address.parse().expect("an address");
    let prefix: std::net::Ipv6Addr = site.link.prefix.trim_end_matches("/80").parse().expect("a prefix");
    assert_eq!(within.octets()[..10], prefix.octets()[..10], "{address}");

    let link = inside_mac(&alice);
    let mac: Vec<u8> =
        link.split(':').map(|octet| u8::from_str_radix(octet, 16).expect("an octet")).collect();
    assert_eq!(within.octets()[10..], mac[..], "{address} {link}");

    let route = alice.container_net("web", ["ip", "-6", "route", "get", "2001:db8:ffff::1"]).run();
    let expected = format!("via {} dev v6pod0", site.link.gateway);
    assert!(route.stdout.contains(&expected) && route.stdout.contains(&format!("src {address}")), "{route}");
    let ipv4 = alice.container_net("web", ["ip", "-4", "route", "get", "192.0.2.1"]).run();
    assert!(ipv4.stdout.contains("via 10.0.2.2 dev tap0"), "{ipv4}");
}

fn inside_mac(user: &User) -> String {
    let shown = user.container_net("web", ["ip", "-o", "link", "show", "v6pod0"]).run();
    shown.stdout.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).expect("a MAC").to_owned()
}

#[test]
fn everybody_sees_a_container_under_its_own_address() {
    let (_net, one, other) = pair();
    let (alice, bob, carol) = (one.host.user("alice"), one.host.user("bob"), other.host.user("carol"));
    let web = serve(&alice, "web", &[]);
    let shop = serve(&bob, "shop", &[]);
    let far = serve(&carol, "far", &[]);

    // Another user's container on the same host, and one across a router, both ways.
    assert_eq!(fetch(&bob, "shop", (&alice, "web", &web)), shop);
    assert_eq!(fetch(&alice, "web", (&bob, "shop", &shop)), web);
    assert_eq!(fetch(&carol, "far", (&alice, "web", &web)), far);
    assert_eq!(fetch(&alice, "web", (&carol, "far", &far)), web);

    // The host, both ways: it reaches containers, and containers reach what it serves.
    one.host.run(["ping", "-6", "-c1", "-w10", &web]);
    one.host.run(curl(&format!("http://[{web}]/")));
    alice.podman(["exec", "web", "ping", "-6", "-c", "1", "-w", "10", &one.link.gateway]);
    other.host.run(curl(&format!("http://[{web}]/")));

    // slirp4netns goes on giving IPv4: the host, as everywhere, is 10.0.2.2 there.
    let server = one.host.spawn(["busybox", "httpd", "-f", "-p", "0.0.0.0:8080", "-h", "/"]);
    let ipv4 = format!("http://{}:8080/etc/hostname", one.link.address_v4);
    alice.podman(["exec", "web"].into_iter().chain(curl(&ipv4)));
    drop(server);
}

#[test]
fn what_is_set_on_the_host_is_what_was_announced() {
    let net = Net::new();
    let site = Site::new(&net, "one", &["alice"]);
    let read =
        |key: &str| site.host.run(["cat", &format!("/proc/sys/net/ipv6/conf/{key}")]).text().to_owned();
    assert_eq!(read("all/forwarding"), "1");
    assert_eq!(read("eth0/accept_ra"), "2", "else forwarding makes Linux drop what routers told it");
    assert_eq!(read("v6pod0/accept_ra"), "0", "a container is no router of the host's");

    let before = site.host.run(["cat", "/sys/class/net/v6pod0/address"]).text().to_owned();
    let alice = site.host.user("alice");
    serve(&alice, "web", &[]);
    let port = site.attachments()[0]["host_interface"].as_str().expect("a port").to_owned();
    assert_eq!(read(&format!("{port}/disable_ipv6")), "1", "a port is the bridge's business only");
    let after = site.host.run(["cat", "/sys/class/net/v6pod0/address"]).text().to_owned();
    assert_eq!(before, after, "the bridge's MAC stays as ports come");
    assert_eq!(address(&alice, "web"), site.attachments()[0]["address"].as_str().expect("an address"));
}

/// Sends router advertisements (RFC 4861, section 4.2) with a lifetime of 1800 s, five a second.
const ROUTER: &str = r#"
import socket, struct, sys, time
index = socket.if_nametoindex(sys.argv[1])
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
while True:
    sender.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
    time.sleep(0.2)
"#;

#[test]
fn a_default_route_from_a_router_advertisement_survives() {
    let net = Net::new();
    let host = Host::new("one", &["alice"]);
    let link = net.join(&host);
    host.run(["ip", "-6", "route", "del", "default"]);
    let _router = net.router().spawn(["python3", "-c", ROUTER, &link.router_interface]);
    let learned = || host.run(["ip", "-6", "route", "show", "default", "proto", "ra"]).text().to_owned();
    eventually(LATER, || if learned().is_empty() { Err("no route yet") } else { Ok(()) });

    // The control: forwarding alone costs the host its route, at once.
    host.sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
    assert_eq!(learned(), "", "this kernel keeps the route anyway: the test shows nothing");
    host.sh("echo 0 >/proc/sys/net/ipv6/conf/all/forwarding");
    eventually(LATER, || if learned().is_empty() { Err("no route again") } else { Ok(()) });

    let _daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
    assert_ne!(learned(), "", "v6podd cost the host its default route");
    // And routers are still listened to: the route that is taken away comes back.
    host.run(["ip", "-6", "route", "del", "default", "proto", "ra"]);
    eventually(LATER, || if learned().is_empty() { Err("deaf to routers") } else { Ok(()) });
}

/// A second way to the router, which a host gets while it runs: a bridge, as administrators make them.
#[track_caller]
fn plug_in(net: &Net, host: &Host) {
    let [router, pid] = [net.router(), host].map(|host| host.pid().to_string());
    let pair =
        ["link", "add", "later", "netns", &router, "type", "veth", "peer", "name", "eth1", "netns", &pid];
    let made = std::process::Command::new("ip").args(pair).status().expect("cannot start ip");
    assert!(made.success(), "the pair could not be made");
    // Duplicate address detection takes a second, in which there is nothing to advertise from.
    net.router().sh("echo 0 >/proc/sys/net/ipv6/conf/later/accept_dad; ip link set later up");
    host.sh("ip link add br0 type bridge; ip link set eth1 master br0 up; ip link set br0 up");
    let address = ["ip", "-6", "-o", "address", "show", "dev", "later", "scope", "link", "-tentative"];
    eventually(LATER, || match net.router().run(address).text() {
        "" => Err("no address to advertise from"),
        _ => Ok(()),
    });
}

#[test]
fn a_link_that_comes_later_listens_to_routers_too() {
    let net = Net::new();
    let mut site = Site::new(&net, "one", &[]);
    let host = site.host.clone();
    host.run(["ip", "-6", "route", "del", "default"]);
    let accepts = |link: &str| {
        host.run(["cat", &format!("/proc/sys/net/ipv6/conf/{link}/accept_ra")]).text().to_owned()
    };
    let becomes = |link: &str, value: &str| {
        eventually(LATER, || {
            if accepts(link) == value { Ok(()) } else { Err(format!("{link}: {}", accepts(link))) }
        });
    };
    let learned = || host.run(["ip", "-6", "route", "show", "default", "proto", "ra"]).text().to_owned();
    let learns =
        || eventually(LATER, || if learned().contains("dev br0") { Ok(()) } else { Err("deaf to routers") });

    plug_in(&net, &host);
    let _router = net.router().spawn(["python3", "-c", ROUTER, "later"]);
    learns();
    // The control: without us it would be deaf. What sets links up (ifupdown) writes this before they come up.
    host.sh("ip link set br0 down; echo 1 >/proc/sys/net/ipv6/conf/br0/accept_ra; ip link set br0 up");
    learns();
    host.sh("echo 1 >/proc/sys/net/ipv6/conf/br0/accept_ra; ip -6 route del default proto ra");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(learned(), "", "this kernel listens anyway: the test shows nothing");

    // What an administrator has set stays, and a container's end is no way to a router.
    host.sh("for value in 0 2; do ip link add set$value type bridge
               echo $value >/proc/sys/net/ipv6/conf/set$value/accept_ra; ip link set set$value up; done
             ip link add end type veth peer name other; ip link set end up
             ip link add last type bridge; ip link set last up");
    becomes("last", "2");
    assert_eq!(["set0", "set2", "end", "v6pod0"].map(accepts), ["0", "2", "1", "0"]);

    // One that comes while the daemon is away.
    site.daemon.stop();
    host.sh("ip link add missed type bridge; ip link set missed up");
    assert_eq!(accepts("missed"), "1");
    site.daemon.start();
    assert_eq!(["missed", "br0", "set0", "end"].map(accepts), ["2", "2", "0", "1"]);
    learns();

    site.daemon.stop();
    host.run(["v6pod", "cleanup", "--all"]);
    assert_eq!(["br0", "last", "missed", "set0", "set2", "end"].map(accepts), ["1", "1", "1", "0", "2", "1"]);
    learns();
}

#[test]
fn where_an_administrator_turned_forwarding_on_links_stay_deaf() {
    let host = Host::new("one", &[]);
    host.sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
    let mut daemon = host.daemon("prefix = \"2001:db8:1::/80\"\n");
    host.sh("ip link add br0 type bridge; ip link set br0 up");
    // The start looks at all links.
    daemon.restart();
    assert_eq!(host.run(["cat", "/proc/sys/net/ipv6/conf/br0/accept_ra"]).text(), "1");
}

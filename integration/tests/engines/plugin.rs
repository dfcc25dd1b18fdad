//! What only the netavark plugin has.

use serde_json::Value;
use v6pod_integration::{LATER, Net, User, eventually};

use crate::{site::Site, way::Way};

fn site() -> Site {
    Site::new(Way::NETAVARK_13)
}

/// A site whose users may choose addresses.
fn liberal_site() -> Site {
    Site::configured(Way::NETAVARK_13, |prefix| {
        format!("[network.default]\nprefix = \"{prefix}\"\nallow_static = true\ndefault = true\n")
    })
}

/// What podman shows of a container's address on a network.
#[track_caller]
fn shown(user: &User, container: &str, network: &str) -> Value {
    let inspected = user.podman(["inspect", container]).json();
    inspected[0]["NetworkSettings"]["Networks"][network].clone()
}

/// podman's complaint, which has to be one for people.
#[track_caller]
fn refused(user: &User, arguments: &[&str], words: &str) {
    let output = user.try_podman(arguments);
    assert!(!output.status.success() && output.stderr.contains(words), "{output}");
}

#[test]
fn podman_shows_what_there_is() {
    let site = site();
    let alice = site.alice();
    let network = &alice.podman(["network", "inspect", "v6net"]).json()[0];
    assert_eq!(network["subnets"][0]["subnet"], site.link.prefix.as_str());
    assert_eq!(network["subnets"][0]["gateway"], site.link.gateway.as_str());
    assert_eq!((&network["ipv6_enabled"], &network["options"]["network"]), (&true.into(), &"default".into()));

    let address = site.serve(&alice, "web", &[]);
    let shown = shown(&alice, "web", "v6net");
    assert_eq!(shown["GlobalIPv6Address"], address.as_str());
    assert_eq!(shown["GlobalIPv6PrefixLen"], 80);
    assert_eq!(shown["IPv6Gateway"], site.link.gateway.as_str());
    let mac = alice.podman(["exec", "web", "cat", "/sys/class/net/eth0/address"]);
    assert_eq!(shown["MacAddress"], mac.text());
}

#[test]
fn names_resolve_inside() {
    let site = site();
    let alice = site.alice();
    // The engine's programs: busybox', linked statically, cannot ask a resolver.
    let programs = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];
    site.serve(&alice, "client", &programs);
    let web = site.serve(&site.bob(), "web", &["--network-alias", "store"]);
    for name in ["web", "web.v6pod", "store"] {
        let found = alice.podman(["exec", "client", "/usr/bin/getent", "ahostsv6", name]);
        assert!(found.stdout.starts_with(&web), "{name}: {found}");
    }
    assert_eq!(site.lookup("store"), [web]);
}

#[test]
fn a_second_network_gives_ipv4() {
    let site = site();
    let alice = site.alice();
    let address = site.serve(&alice, "both", &["--network", "podman"]);
    site.is_served("both", &address);
    let _server = site.net.router().spawn(["busybox", "httpd", "-f", "-p", "0.0.0.0:9090", "-h", "/etc"]);
    let url = format!("http://{}:9090/hostname", Net::OUTSIDE_V4);
    eventually(LATER, || {
        let page = alice.container_net("both", ["curl", "-sfm3", &url]).try_run();
        if page.stdout == "router\n" { Ok(()) } else { Err(page.to_string()) }
    });
    alice.podman(["rm", "-f", "both"]);
    site.nothing_is_left();

    // Alone, a container has IPv6 and nothing else.
    site.serve(&alice, "alone", &[]);
    let ipv4 = alice.container_net("alone", ["ip", "-4", "-o", "address", "show", "scope", "global"]).run();
    assert_eq!(ipv4.text(), "", "{ipv4}");
}

#[test]
fn internal_networks_have_no_default_route() {
    let site = site();
    let alice = site.alice();
    alice.podman(["network", "create", "-d", "v6pod", "--internal", "island"]);
    alice.podman(["run", "-d", "--name", "web", "--network", "island", "busybox", "sleep", "1000"]);
    let routes = alice.container_net("web", ["ip", "-6", "route", "show", "default"]).run();
    assert_eq!(routes.text(), "", "{routes}");
    assert_ne!(shown(&alice, "web", "island")["IPv6Gateway"], site.link.gateway.as_str());
    site.host.run(["ping", "-6", "-c1", "-W2", &site.address(&alice, "web")]);
}

#[test]
fn the_mtu_is_the_networks() {
    let site = site();
    let alice = site.alice();
    alice.podman(["network", "create", "-d", "v6pod", "-o", "mtu=1400", "narrow"]);
    alice.podman(["run", "-d", "--name", "web", "--network", "narrow", "busybox", "sleep", "1000"]);
    assert_eq!(alice.podman(["exec", "web", "cat", "/sys/class/net/eth0/mtu"]).text(), "1400");
}

#[test]
fn addresses_and_macs_may_be_chosen_where_the_network_says_so() {
    let site = liberal_site();
    let alice = site.alice();
    let prefix = site.link.prefix.trim_end_matches("::/80");
    let wanted = format!("{prefix}::200:5e00:1");
    assert_eq!(site.serve(&alice, "one", &["--ip6", &wanted]), wanted);
    alice.podman(["restart", "-t", "0", "one"]);
    assert_eq!(site.address(&alice, "one"), wanted);

    let run = ["run", "-d", "--network", "v6net", "--ip6", &wanted, "busybox", "sleep", "9"];
    refused(&alice, &run, "taken");
    refused(&site.bob(), &run, "taken");
    alice.podman(["rm", "-f", "-a"]);

    let mac = "02:00:5e:00:00:02";
    let address = site.serve(&alice, "two", &["--mac-address", mac]);
    assert_eq!(shown(&alice, "two", "v6net")["MacAddress"], mac);
    assert!(address.ends_with(":5e00:2"), "{address}");
    alice.podman(["rm", "-f", "-a"]);
    site.nothing_is_left();
}

#[test]
fn addresses_may_not_be_chosen_elsewhere() {
    let site = site();
    let alice = site.alice();
    let wanted = format!("{}::200:5e00:1", site.link.prefix.trim_end_matches("::/80"));
    let run = ["run", "-d", "--network", "v6net"];
    refused(&alice, &[&run[..], &["--ip6", &wanted, "busybox"]].concat(), "v6podd refused");
    refused(&alice, &[&run[..], &["--ip", "10.1.2.3", "busybox"]].concat(), "IPv4");
    site.nothing_is_left();
}

/// podman then asks for the address and the MAC that the container has, as if somebody had chosen them. So
/// may anybody, for what is theirs anyway; and nobody for what is another's.
#[test]
fn a_network_can_be_reloaded() {
    let site = site();
    let (alice, bob) = (site.alice(), site.bob());
    let address = site.serve(&alice, "web", &[]);
    let first = site.attachments();
    for containers in ["web", "--all"] {
        alice.podman(["network", "reload", containers]);
        assert_eq!(site.addresses(&alice, "web"), [address.as_str()]);
        site.is_served("web", &address);
        assert_eq!(shown(&alice, "web", "v6net")["GlobalIPv6Address"], address.as_str());
    }
    let [again] = &site.attachments()[..] else { panic!("not one attachment\n{}", site.daemon.log()) };
    assert_ne!(first[0]["id"], again["id"], "it was attached anew");

    alice.podman(["rm", "-f", "web"]);
    let ask = ["run", "-d", "--network", "v6net", "--ip6", &address];
    refused(&bob, &[&ask[..], &["--name", "web", "busybox", "sleep", "9"]].concat(), "v6podd refused");
    refused(&alice, &[&ask[..], &["--name", "db", "busybox", "sleep", "9"]].concat(), "v6podd refused");
    assert_eq!(site.serve(&alice, "web", &["--ip6", &address]), address);
    alice.podman(["rm", "-f", "-a"]);
    site.nothing_is_left();
}

#[test]
fn what_a_network_cannot_have_is_refused() {
    let site = site();
    let alice = site.alice();
    for (options, words) in [
        (&["-o", "network=nope"][..], "there is no network nope"),
        (&["-o", "vlan=5"], "there is no option \"vlan\""),
        (&["-o", "mtu=9000"], "9000 is not from 1280 to that"),
        (&["--subnet", "2001:db8:99::/80"], "leave --subnet 2001:db8:99::/80 out"),
        (&["--interface-name", "br0"], "leave --interface-name br0 out"),
        (&["--ipam-driver", "host-local"], "leave --ipam-driver host-local out"),
        (&["--route", "2001:db8:99::/64,2001:db8:1::5"], "leave --route out"),
    ] {
        let create = [&["network", "create", "-d", "v6pod"][..], options, &["other"]].concat();
        refused(&alice, &create, words);
    }
    let create = ["network", "create", "-d", "v6pod", "--label", "a=b"];
    let right = ["--subnet", &site.link.prefix, "--gateway", &site.link.gateway, "right"];
    alice.podman(create.iter().chain(&right));
    assert_eq!(alice.podman(["network", "inspect", "right"]).json()[0]["labels"]["a"], "b");
}

#[test]
fn a_container_is_on_one_of_v6pods_networks() {
    let site = site();
    let alice = site.alice();
    alice.podman(["network", "create", "-d", "v6pod", "other"]);
    let run = ["run", "-d", "--network", "v6net", "--network", "other", "busybox", "sleep", "9"];
    refused(&alice, &run, "it can be on one");
    site.nothing_is_left();
}

#[test]
fn networks_can_be_connected_and_disconnected() {
    let site = site();
    let alice = site.alice();
    alice.podman(["run", "-d", "--name", "web", "--network", "podman", "busybox", "sleep", "1000"]);
    alice.podman(["network", "connect", "v6net", "web"]);
    let address = shown(&alice, "web", "v6net")["GlobalIPv6Address"].as_str().expect("an address").to_owned();
    site.host.run(["ping", "-6", "-c1", "-W2", &address]);
    alice.podman(["network", "disconnect", "v6net", "web"]);
    site.nothing_is_left();
    alice.podman(["network", "connect", "v6net", "web"]);
    assert_eq!(shown(&alice, "web", "v6net")["GlobalIPv6Address"], address.as_str());
    // What fails for one network leaves the other alone.
    alice.podman(["network", "create", "-d", "v6pod", "other"]);
    refused(&alice, &["network", "connect", "other", "web"], "it can be on one");
    site.host.run(["ping", "-6", "-c1", "-W2", &address]);
}

#[test]
fn a_name_that_is_taken_costs_the_name_alone() {
    let site = site();
    let (alice, bob) = (site.alice(), site.bob());
    let first = site.serve(&alice, "web", &[]);
    let second = site.serve(&bob, "web", &[]);
    assert_ne!(first, second);
    let said = bob.podman(["restart", "web"]);
    assert!(said.stderr.contains("but no name: the name web is taken"), "{said}");
    site.is_served("web", &first);
    site.host.run(["ping", "-6", "-c1", "-W2", &second]);
}

#[test]
fn without_the_daemon_podman_says_why_and_removes_all_the_same() {
    let mut site = site();
    let alice = site.alice();
    site.serve(&alice, "web", &[]);
    site.serve(&alice, "other", &[]);
    site.daemon.stop();
    refused(&alice, &["run", "--rm", "--network", "v6net", "busybox", "true"], "is v6podd running?");
    refused(&alice, &["network", "create", "-d", "v6pod", "new"], "is v6podd running?");
    let said = alice.podman(["rm", "-f", "web"]);
    assert!(said.stderr.contains("the container's attachment ends with its network namespace"), "{said}");
    alice.podman(["stop", "other"]);
    alice.podman(["rm", "other"]);
    assert_eq!(alice.podman(["ps", "-aq"]).text(), "");
    site.daemon.start();
    site.nothing_is_left();
}

#[test]
fn ports_may_be_published_all_the_same() {
    let site = site();
    site.serve(&site.alice(), "web", &["-p", "18080:8080"]);
    for host in ["127.0.0.1", "[::1]", site.link.address_v4.as_str()] {
        let page = site.host.run(["curl", "-sfm3", &format!("http://{host}:18080/")]);
        assert_eq!(page.text(), "hello from a container");
    }
}

#[test]
fn a_container_chooses_its_interface_and_its_options() {
    let site = site();
    let alice = site.alice();
    let network = "v6net:interface_name=foo0,alias=zip,mtu=1300";
    alice.podman(["run", "-d", "--name", "web", "--network", network, "busybox", "sleep", "1000"]);
    let attachment = &site.attachments()[0];
    assert_eq!((&attachment["interface"], &attachment["mtu"]), (&"foo0".into(), &1300.into()));
    assert_eq!(site.lookup("zip"), [site.address(&alice, "web")]);
    let run = ["run", "--rm", "--network", "v6net:vlan=5", "busybox", "true"];
    refused(&alice, &run, "there is no option \"vlan\"");
}

#[test]
fn beside_the_wrapper_each_container_has_one_address() {
    let site = Site::new(Way::WRAPPER_13);
    let alice = site.alice();
    alice.podman(["network", "create", "-d", "v6pod", "v6net"]);
    let sleep = ["busybox", "sleep", "1000"];
    for (name, options) in
        [("plugin", &["--network", "v6net"][..]), ("wrapper", &[]), ("bridge", &["--network", "podman"])]
    {
        let run = ["run", "-d", "--stop-timeout=0", "--name", name];
        alice.podman(run.iter().chain(options).chain(&sleep));
    }
    // The wrapper serves the namespace that bridges share, too; that is no container.
    let mut names: Vec<String> =
        site.attachments().iter().map(|found| found["name"].as_str().unwrap_or("-").to_owned()).collect();
    names.sort();
    assert_eq!(names, ["plugin", "wrapper"]);
    alice.podman(["rm", "-f", "-a"]);
    site.nothing_is_left();
}

#[test]
fn roots_containers_too() {
    let site = site();
    let podman = |arguments: &[&str]| site.host.command(["podman"].iter().chain(arguments)).in_engine();
    let image = std::fs::read(v6pod_integration::cache().join("image/root.tar")).expect("the image");
    podman(&["import", "-", "localhost/busybox:latest"]).input(image).run();
    podman(&["network", "create", "-d", "v6pod", "v6net"]).run();
    // Hosts of tests have no controllers in their cgroups, which root's containers need.
    let run = ["run", "-d", "--name", "web", "--network", "v6net", "--cgroups=disabled", "--stop-timeout=0"];
    podman(&[&run[..], &["busybox", "sleep", "1000"]].concat()).run();
    let address = site.attachments()[0]["address"].as_str().expect("an address").to_owned();
    assert_eq!(site.lookup("web"), [address.as_str()]);
    site.host.run(["ping", "-6", "-c1", "-W2", &address]);
    podman(&["rm", "-f", "web"]).run();
    site.nothing_is_left();
}

#[test]
fn a_restarted_daemon_keeps_the_container() {
    let mut site = site();
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    site.daemon.restart();
    site.is_served("web", &address);
    site.daemon.kill9();
    site.daemon.start();
    site.is_served("web", &address);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
}

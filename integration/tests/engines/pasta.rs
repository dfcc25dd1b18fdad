//! The hook beside pasta, which copies the host's addresses and routes into the container.

use v6pod_integration::{LATER, Net, eventually};

use crate::{
    site::Site,
    way::{Kind, Way},
};

/// A site of which pasta copies IPv6, too: only once nothing of it is tentative any more.
fn site() -> Site {
    let site = Site::new(Way::users(Kind::Hook, "13"));
    eventually(LATER, || {
        let tentative = site.host.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "tentative"]);
        if tentative.text().is_empty() { Ok(()) } else { Err(tentative) }
    });
    site
}

#[test]
fn hosts_nearby_are_answered() {
    let site = site();
    let alice = site.alice();
    let inside = |words: &str| alice.container_net("web", words.split(' ')).run();
    // With keep-id, pasta comes after the hook.
    for options in [&[][..], &["--userns=keep-id"]] {
        let address = site.serve(&alice, "web", options);
        site.is_served("web", &address);
        // The router is on the link of which pasta has copied the route.
        let way = inside(&format!("ip -6 route get {}", site.link.router));
        assert!(!way.stdout.contains("v6pod0"), "the test shows nothing\n{way}");
        let back = inside(&format!("ip -6 route get {} from {address}", site.link.router));
        assert!(back.stdout.contains("dev v6pod0"), "{back}");
        // The control: without the rule the answer is lost.
        inside("ip -6 rule del from all priority 30262");
        let page = format!("http://[{address}]:8080/");
        site.net.router().try_run(["curl", "-sfm1", &page]).expect_failure();
        alice.podman(["rm", "-f", "web"]);
        site.nothing_is_left();
    }
}

#[test]
fn pasta_may_leave_ipv6_alone() {
    let site = site();
    let alice = site.alice();
    let address = site.serve(&alice, "web", &["--network=pasta:--ipv4-only"]);
    site.is_served("web", &address);
    for peer in [&site.link.router[..], Net::OUTSIDE] {
        let way = alice.container_net("web", ["ip", "-6", "route", "get", peer]).run();
        assert!(way.stdout.contains("dev v6pod0") && way.stdout.contains(&address), "{way}");
        alice.podman(["exec", "web", "ping", "-6", "-c1", "-W2", peer]);
    }
}

//! Who reaches whom, on one network and over the host from one network to another.

use std::collections::BTreeSet;

use v6pod_integration::{Daemon, Host, eventually};

use crate::site::{Container, SOON};

const NETWORKS: [&str; 4] = ["open", "user", "group", "isolated"];

fn configuration(guard: &str) -> String {
    let first = format!("guard = \"{guard}\"\ndns.enabled = false\n");
    NETWORKS.iter().zip(1..).fold(first, |text, (isolation, number)| {
        format!(
            "{text}[network.{isolation}]\nprefix = \"2001:db8:{number}::/80\"\nisolation = \"{isolation}\"\n\
             bridge = \"br-{isolation}\"\n"
        )
    })
}

/// A container, and what decides about it.
struct Member {
    network: &'static str,
    user: &'static str,
    group: u32,
    container: Container,
}

impl Member {
    /// What this one's network says about another.
    fn permits(&self, other: &Self) -> bool {
        match self.network {
            "open" => true,
            "user" => self.user == other.user,
            "group" => self.group == other.group,
            _ => false,
        }
    }

    fn name(&self) -> String {
        format!("{}'s (group {}) on {}", self.user, self.group, self.network)
    }

    /// Pings all of them at once, and tells who answered.
    fn pings(&self, others: &[Self]) -> BTreeSet<String> {
        let script =
            "for address; do ping -6 -n -q -c2 -i0.2 -W1 $address >/dev/null && echo $address & done; wait";
        let addresses = others.iter().map(|other| other.container.address());
        let command: Vec<_> = ["sh", "-c", script, "sh"].into_iter().chain(addresses).collect();
        let output = self.container.namespace.inside(&command).run();
        output.stdout.lines().map(str::to_owned).collect()
    }
}

struct Site {
    members: Vec<Member>,
    _daemon: Daemon,
    host: Host,
}

impl Site {
    /// On each network: two of alice's, one of bob's who is of alice's group, one of carol's.
    fn new(guard: &str, networks: &[&'static str]) -> Self {
        let host = Host::builder("one").user("alice").user("bob").user("carol").without_wrapper().build();
        let daemon = host.daemon(&configuration(guard));
        let (alices, carols) = (host.user("alice").uid(), host.user("carol").uid());
        let people = [("alice", alices), ("alice", alices), ("bob", alices), ("carol", carols)];
        let mut members = Vec::new();
        for network in networks {
            for (number, (user, group)) in people.iter().enumerate() {
                let name = format!("{network}{number}");
                let container = Container::on(network, &host.user(user), *group, &name);
                members.push(Member { network, user, group: *group, container });
            }
        }
        Self { members, _daemon: daemon, host }
    }
}

#[test]
fn tenants_are_kept_apart_as_each_network_says() {
    tenants_are_kept_apart("nftables");
}

pub fn tenants_are_kept_apart(guard: &str) {
    let site = Site::new(guard, &NETWORKS);
    for from in &site.members {
        let reached = from.pings(&site.members);
        for to in site.members.iter().filter(|to| !std::ptr::eq(*to, from)) {
            let expected = from.permits(to) && to.permits(from);
            let found = reached.contains(to.container.address());
            assert_eq!(found, expected, "{} to {}", from.name(), to.name());
        }
    }
    // The host reaches everyone, and everyone the host.
    for member in &site.members {
        let ping = ["ping", "-6", "-n", "-c1", "-W1", member.container.address()];
        site.host.run(ping);
    }
}

#[test]
fn the_way_over_the_router_is_no_way_round() {
    the_router_is_no_way_round("nftables");
}

pub fn the_router_is_no_way_round(guard: &str) {
    let site = Site::new(guard, &["user", "open"]);
    let [alice, alices, _, carol, open_alice, _, _, open_carol] = &site.members[..] else { panic!() };
    // To the router instead of straight to the neighbour.
    let by_router = |from: &Member, to: &Member| {
        let gateway = format!("2001:db8:{}::1", if from.network == "user" { 2 } else { 1 });
        let to = format!("{}/128", to.container.address());
        from.container.run(&["ip", "-6", "route", "add", &to, "via", &gateway, "dev", "v6pod0"]);
    };
    for (from, to) in [(alice, alices), (alice, carol), (carol, alice), (open_alice, open_carol)] {
        by_router(from, to);
        by_router(to, from);
        let expected = from.permits(to);
        let found = from.container.ping(to.container.address());
        assert_eq!(found.is_ok(), expected, "{} to {}", from.name(), to.name());
        for (from, to) in [(from, to), (to, from)] {
            let to = format!("{}/128", to.container.address());
            from.container.run(&["ip", "-6", "route", "del", &to]);
        }
    }
}

#[test]
fn not_even_multicast_reaches_another_tenant() {
    no_multicast_reaches_another("nftables");
}

pub fn no_multicast_reaches_another(guard: &str) {
    let site = Site::new(guard, &["user"]);
    let [alice, alices, bob, carol] = &site.members[..] else { panic!() };
    let everyone = ["ping", "-6", "-n", "-c2", "-i0.2", "-W1", "ff02::1%v6pod0"];
    let answers = alice.container.namespace.inside(&everyone).try_run().stdout;
    let link_local = |member: &Member| {
        let show = ["ip", "-6", "-o", "address", "show", "dev", "v6pod0", "scope", "link"];
        let output = member.container.run(&show);
        output.text().split_whitespace().nth(3).expect("an address").trim_end_matches("/64").to_owned()
    };
    assert!(answers.contains(&link_local(alices)), "{answers}");
    for other in [bob, carol] {
        assert!(!answers.contains(&link_local(other)), "{answers}");
        let neighbours = other.container.run(&["ip", "-6", "neigh", "show"]);
        assert!(!neighbours.stdout.contains(alice.container.address()), "{neighbours}");
    }
}

#[test]
fn isolation_holds_after_a_restart_with_another_configuration() {
    it_holds_after_a_restart("nftables");
}

pub fn it_holds_after_a_restart(guard: &str) {
    let host = Host::builder("one").user("alice").user("carol").without_wrapper().build();
    let network = |isolation: &str| {
        format!(
            "guard = \"{guard}\"\n[network.only]\nprefix = \"2001:db8:1::/80\"\nisolation = \"{isolation}\"\n"
        )
    };
    let mut daemon = host.daemon(&network("open"));
    let [alice, carol] = ["alice", "carol"].map(|user| Container::new(&host.user(user), user));
    let mut second = None;
    for (isolation, others, own) in [
        ("open", true, true),
        ("user", false, true),
        ("isolated", false, false),
        ("group", false, true),
        ("open", true, true),
    ] {
        daemon.configure(&network(isolation));
        daemon.restart();
        // One that comes after the change, beside those that were there.
        let second = second.get_or_insert_with(|| Container::new(&host.user("alice"), "second"));
        for (to, expected) in [(&carol, others), (&*second, own)] {
            let is_so = || {
                let found = alice.ping(to.address());
                if found.is_ok() == expected { Ok(()) } else { Err(format!("{isolation}: {found:?}")) }
            };
            eventually(SOON, is_so);
        }
    }
}

//! The guard of old kernels, by ebtables: the same attacks, and what of them it cannot keep out.

use v6pod_integration::{Host, eventually};

use crate::{
    forged::{CASE_34, CASE_35, CASE_36, CASE_37, CASE_38, HONEST, set},
    site::{Container, LATER, PREFIX, SOON, Seen, Site, Traffic},
};

const EBTABLES: &str = "guard = \"ebtables\"\nprefix = \"2001:db8:1::/80\"\n";

/// What ebtables has no words for; the module's documentation says the same.
const NOT_COVERED: &[&str] = &[
    // Whom an advertisement or solicitation is about.
    "na-of-router-from-me",
    "na-of-unused-from-me",
    "na-of-neighbour-from-me",
    "ns-for-duplicates-of-victim",
    // Neighbour discovery behind extension headers and in fragments.
    "na-behind-hop-by-hop",
    "na-in-fragments",
    "ns-behind-hop-by-hop",
    "ra-hidden-in-fragments",
    // Anything else that is not expressly dropped.
    "routing-header",
    "unknown-protocol",
    "tunnel",
];

#[test]
fn ebtables_drops_what_it_can_see() {
    let site = Site::new(EBTABLES);
    let traffic = Traffic::new(&site);
    let all = [CASE_34, CASE_35, CASE_36, CASE_37, CASE_38].concat();
    let Seen { victim, host } = site.fire(&all);
    let seen = &victim | &host;
    assert_eq!(seen, set(NOT_COVERED));
    let expected = set(HONEST);
    assert_eq!(site.fire(HONEST), Seen { victim: expected.clone(), host: expected });
    for container in [&site.attacker, &site.victim] {
        assert_eq!(site.check(container), [""; 0]);
    }
    drop(traffic);
}

/// All rules, in no order.
fn rules(site: &Site) -> Vec<String> {
    // It may be interrupted by the daemon's own changes.
    let show = ["ebtables -t nat -L", "ebtables -t filter -L", "iptables-save", "ip6tables-save"].join("; ");
    let text = site.host.try_run(["bash", "-c", &show]).stdout;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let without_counters = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
    let mut lines: Vec<_> = lines.map(without_counters).collect();
    lines.sort();
    lines
}

#[track_caller]
fn are_restored(site: &Site, before: &[String]) {
    eventually(LATER, || {
        let now = rules(site);
        if now == before { Ok(()) } else { Err(now.join("\n")) }
    });
}

#[test]
fn ebtables_outlives_the_daemon_and_is_restored() {
    let mut site = Site::new(EBTABLES);
    let attacks = ["address-of-victim", "mac-unused", "ra", "arp-reply"];
    let before = rules(&site);
    site.host.run(["ebtables", "-t", "nat", "-F"]);
    are_restored(&site, &before);
    // An attach does not wait until somebody looks.
    site.host.run(["ebtables", "-t", "nat", "-F", "PREROUTING"]);
    let late = Container::new(&site.host.user("carol"), "late");
    assert_eq!(site.fire(&attacks), Seen::default());
    late.namespace.kill();
    are_restored(&site, &before);
    let problem = || {
        site.host.run(["ebtables", "-t", "nat", "-F", "PREROUTING"]);
        let problems = site.check(&site.victim);
        if problems.iter().any(|problem| problem.contains("PREROUTING")) {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    };
    eventually(LATER, problem);
    are_restored(&site, &before);

    site.daemon.kill9();
    assert_eq!(site.fire(&attacks), Seen::default());
    site.daemon.start();
    assert_eq!(rules(&site), before);
    // To the other guard and back, with containers running.
    let traffic = Traffic::new(&site);
    site.daemon.configure(PREFIX);
    site.daemon.restart();
    let now = rules(&site).join("\n");
    assert!(!now.contains("V6POD") && !now.contains("-j v6p"), "{now}");
    assert_eq!(site.fire(&attacks), Seen::default());
    site.daemon.configure(EBTABLES);
    site.daemon.restart();
    are_restored(&site, &before);
    assert_eq!(site.fire(&attacks), Seen::default());
    traffic.lost_nothing();
}

#[test]
fn ebtables_isolates_and_refuses_the_rest() {
    let host = Host::builder("one").user("alice").user("bob").without_wrapper().build();
    let network = |isolation: &str| {
        format!(
            "guard = \"ebtables\"\n[network.a]\nprefix = \"2001:db8:1::/80\"\nisolation = \"{isolation}\"\n\
             [network.b]\nprefix = \"2001:db8:2::/80\"\n"
        )
    };
    let mut daemon = v6pod_integration::Daemon::new(&host, &network("user"));
    daemon.launch();
    assert!(!daemon.wait(LATER).success());
    assert!(
        daemon.log().contains("network.a.isolation: \"user\" needs guard = \"nftables\""),
        "{}",
        daemon.log()
    );
    daemon.configure(&network("isolated"));
    daemon.start();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let on = |network, user: &v6pod_integration::User, name| Container::on(network, user, user.uid(), name);
    let [one, two] = [on("a", &alice, "one"), on("a", &alice, "two")];
    let other = on("b", &bob, "other");
    one.ping(two.address()).expect_err("on one bridge");
    one.ping(other.address()).expect_err("over the host");
    other.ping(one.address()).expect_err("over the host");
    for container in [&one, &two, &other] {
        host.run(["ping", "-6", "-n", "-c1", "-W1", container.address()]);
    }
    let refused = alice.try_run(["v6pod", "close", "one"]).expect_failure();
    assert!(refused.stderr.contains("guard = \"nftables\""), "{refused}");
    host.run(["ping", "-6", "-n", "-c1", "-W1", one.address()]);
}

#[test]
fn without_any_guard_it_does_not_start() {
    let host = Host::builder("one").without_wrapper().build();
    host.sh("for program in ebtables ip6tables iptables; do mount --bind /dev/null /usr/sbin/$program; done");
    let before = host.snapshot();
    let mut daemon = v6pod_integration::Daemon::new(&host, EBTABLES);
    daemon.launch();
    assert!(!daemon.wait(SOON).success());
    assert!(daemon.log().contains("ebtables"), "{}", daemon.log());
    assert_eq!(before.difference(&host.snapshot()), "", "it touched the host");
}

//! The guard of old kernels, by ebtables: the same attacks, and what of them it cannot keep out.

use v6pod_integration::{Host, eventually};

use crate::{
    forged::{CASE_34, CASE_35, CASE_36, CASE_37, CASE_38, HONEST, set},
    inbound, isolation,
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
    for table in ["ebtables -t nat", "ebtables -t filter", "ip6tables -t raw", "iptables -t raw"] {
        site.host.sh(&format!("{table} -F"));
        are_restored(&site, &before);
    }
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
fn what_was_left_half_way_is_mended() {
    let mut site = Site::new(EBTABLES);
    let before = rules(&site);
    site.daemon.kill9();
    // As many rules as there should be, one of which leads to a chain of nobody's.
    site.host.sh("nobody=v6p0123456789ab; nat='ebtables -t nat'
        $nat -N $nobody; $nat -D V6POD 1; $nat -I V6POD 1 -i $nobody -j $nobody");
    assert_ne!(rules(&site), before);
    site.daemon.start();
    assert_eq!(rules(&site), before);
}

#[test]
fn tenants_are_kept_apart_by_ebtables() {
    isolation::tenants_are_kept_apart("ebtables");
}

#[test]
fn the_way_over_the_router_is_no_way_round_ebtables() {
    isolation::the_router_is_no_way_round("ebtables");
}

#[test]
fn not_even_multicast_reaches_another_tenant_past_ebtables() {
    isolation::no_multicast_reaches_another("ebtables");
}

#[test]
fn isolation_by_ebtables_holds_after_a_restart_with_another_configuration() {
    isolation::it_holds_after_a_restart("ebtables");
}

#[test]
fn ports_are_opened_and_closed_by_ip6tables() {
    inbound::ports_are_opened_and_closed("ebtables");
}

#[test]
fn conversations_go_on_with_ip6tables() {
    inbound::conversations_go_on("ebtables");
}

#[test]
fn errors_reach_it_with_ip6tables() {
    inbound::errors_reach_it("ebtables");
}

/// Without that nothing would keep a neighbour on the bridge out.
#[test]
fn inbound_is_refused_where_ip6tables_does_not_see_bridges() {
    let site = Site::new(EBTABLES);
    let close = || site.host.user("bob").try_run(["v6pod", "close", "bob"]);
    let sees = |value| {
        site.host.sh(&format!("echo {value} >/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
    };
    sees(0);
    let refused = close().expect_failure();
    assert!(refused.stderr.contains("Write 1 to /proc/sys/net/bridge/bridge-nf-call-ip6tables"), "{refused}");
    site.attacker.ping(site.victim.address()).expect("it still takes everything");
    sees(1);
    close().expect_success();
    site.attacker.ping(site.victim.address()).expect_err("it takes nothing");
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

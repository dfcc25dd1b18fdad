//! Networks that are configured otherwise at the next start: what v6podd made for the old ones goes, what others
//! put there stays.

use v6pod_integration::{Host, Namespaces, attached};

const FIRST: &str = "2001:db8:1::/80";
const SECOND: &str = "2001:db8:2::/80";

#[track_caller]
fn host() -> Host {
    Host::builder("one").user("alice").without_wrapper().build()
}

/// One prefix for the one network.
fn only(prefix: &str) -> String {
    format!("prefix = \"{prefix}\"\n")
}

/// A network with a name, and what else stands in its table.
fn named(name: &str, prefix: &str, rest: &str) -> String {
    format!("[network.{name}]\nprefix = \"{prefix}\"\n{rest}\n")
}

/// The addresses of a link that are not link-local; and the prefixes that are routed to it.
#[track_caller]
fn addresses(host: &Host, link: &str) -> (Vec<String>, Vec<String>) {
    let list = |what: &str, column: &str| {
        let script = format!("ip -6 -o {what} | awk '!/^fe80:/ {{print {column}}}' | sort");
        host.sh(&script).stdout.lines().map(str::to_owned).collect()
    };
    let routes = list(&format!("route show dev {link}"), "$1");
    (list(&format!("addr show dev {link} scope global"), "$4"), routes)
}

fn has(host: &Host, link: &str) -> bool {
    host.try_run(["ip", "link", "show", "dev", link]).success()
}

#[test]
fn another_prefix_takes_the_place_of_the_old_one() {
    let host = host();
    let mut daemon = host.daemon(&only(FIRST));
    let namespace = Namespaces::new(&host.user("alice"), 2);
    host.user("alice").attach(&namespace, 2);
    // The administrator's own, one of them as v6podd would write it but for NODAD.
    for address in ["2001:db8:77::5/80", "2001:db8:78::1/80"] {
        host.run(["ip", "addr", "add", address, "dev", "v6pod0"]);
    }
    daemon.stop();
    daemon.configure(&only(SECOND));
    daemon.start();
    let (found, routes) = addresses(&host, "v6pod0");
    assert_eq!(found, ["2001:db8:2::1/80", "2001:db8:77::5/80", "2001:db8:78::1/80"]);
    assert_eq!(routes, ["2001:db8:2::/80", "2001:db8:77::/80", "2001:db8:78::/80"]);
    // What was attached is ended, and that is told.
    let log = daemon.log();
    let told = log.lines().find(|line| line.contains("WARN") && line.contains("count=2"));
    assert!(told.is_some_and(|line| line.contains("restart those containers")), "{log}");
    assert_eq!(host.run(["v6pod", "list", "--json"]).json()["attachments"], serde_json::json!([]));
    // An internal network has none.
    daemon.stop();
    daemon.configure(&named("default", SECOND, "internal = true"));
    daemon.start();
    assert_eq!(addresses(&host, "v6pod0").0, ["2001:db8:77::5/80", "2001:db8:78::1/80"]);
}

#[test]
fn two_networks_change_prefixes() {
    let host = host();
    let mut daemon = host.daemon(&(named("a", FIRST, "") + &named("b", SECOND, "")));
    daemon.stop();
    daemon.configure(&(named("a", SECOND, "") + &named("b", FIRST, "")));
    daemon.start();
    assert_eq!(addresses(&host, "v6b-a"), (vec!["2001:db8:2::1/80".into()], vec![SECOND.into()]));
    assert_eq!(addresses(&host, "v6b-b"), (vec!["2001:db8:1::1/80".into()], vec![FIRST.into()]));
}

#[test]
fn a_network_is_renamed() {
    let host = host();
    let mut daemon = host.daemon(&only(FIRST));
    let alice = host.user("alice");
    let namespace = Namespaces::new(&alice, 1);
    let old = alice.attach(&namespace, 1).remove(0);
    daemon.stop();
    daemon.configure(&named("staff", FIRST, ""));
    daemon.start();
    assert_eq!(addresses(&host, "v6b-staff"), (vec!["2001:db8:1::1/80".into()], vec![FIRST.into()]));
    assert!(!has(&host, "v6pod0") && !has(&host, &format!("v6p{}", old.id)), "{}", daemon.log());
    alice.try_attach(&namespace, "web").expect_success();
    namespace.inside(&["ping", "-6", "-c1", "-W2", "2001:db8:1::1"]).run();
    // And again, with the bridge of before.
    daemon.stop();
    daemon.configure(&named("others", FIRST, "bridge = \"v6b-staff\""));
    daemon.start();
    assert_eq!(addresses(&host, "v6b-staff"), (vec!["2001:db8:1::1/80".into()], vec![FIRST.into()]));
    let link = host.run(["ip", "-d", "link", "show", "dev", "v6b-staff"]);
    assert!(link.stdout.contains("alias v6pod:bridge:others"), "{link}");
}

#[test]
fn another_bridge_takes_the_containers_over() {
    let host = host();
    let mut daemon = host.daemon(&named("lab", FIRST, "bridge = \"old0\""));
    let alice = host.user("alice");
    let namespace = Namespaces::new(&alice, 1);
    let one = attached(&alice.try_attach(&namespace, "web").expect_success().stdout).remove(0);
    daemon.stop();
    daemon.configure(&named("lab", FIRST, "bridge = \"new0\""));
    daemon.start();
    assert!(!has(&host, "old0"), "{}", daemon.log());
    host.run(["v6pod", "check", &one.id]);
    namespace.inside(&["ping", "-6", "-c1", "-W2", "2001:db8:1::1"]).run();
}

#[test]
fn a_network_that_is_gone_takes_its_bridge_along_but_no_foreign_port() {
    let host = host();
    let both = named("default", FIRST, "") + &named("lab", SECOND, "");
    let mut daemon = host.daemon(&both);
    host.sh("ip link add mine0 type veth peer name mine1; ip link set mine0 master v6b-lab
        ip link add theirs0 type bridge; ip addr add 2001:db8:9::1/80 dev theirs0 nodad");
    daemon.stop();
    daemon.configure(&named("default", FIRST, ""));
    daemon.start();
    assert!(has(&host, "v6b-lab") && has(&host, "mine0"));
    assert_eq!(addresses(&host, "v6b-lab"), (vec![], vec![]));
    assert!(daemon.log().contains("mine0"), "nothing is said of the port: {}", daemon.log());
    host.run(["ip", "link", "set", "mine0", "nomaster"]);
    daemon.restart();
    assert!(!has(&host, "v6b-lab"), "{}", daemon.log());
    assert!(has(&host, "mine0"));
    // Nobody's bridge but ours.
    assert_eq!(addresses(&host, "theirs0").0, ["2001:db8:9::1/80"]);
    assert_eq!(addresses(&host, "v6pod0").0, ["2001:db8:1::1/80"]);
}

#[test]
fn the_prefix_of_somebody_elses_bridge_is_refused_as_ever() {
    let host = host();
    let mut daemon = host.daemon(&only(FIRST));
    daemon.stop();
    host.sh("ip link add theirs0 type bridge; ip addr add 2001:db8:2::1/80 dev theirs0 nodad");
    daemon.configure(&only(SECOND));
    let before = host.snapshot();
    daemon.launch();
    let status = daemon.wait(std::time::Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("overlaps 2001:db8:2::"), "{}", daemon.log());
    assert_eq!(before.difference(&host.snapshot()), "");
}

//! Somebody takes away what the daemon made: the administrator on the host, or the user inside.

use std::time::Instant;

use v6pod_integration::{LATER, Namespaces, attached, eventually};

use crate::site::{GATEWAY, Site};

const BRIDGE: &str = "v6pod0";

#[test]
fn case_32_a_bridge_that_was_deleted_is_made_again() {
    let site = Site::new();
    let before = site.at_rest();
    let (first_namespace, first) = site.attach("first");
    eventually(LATER, || site.whole(&first, "first"));
    for _ in 0..3 {
        site.host.run(["ip", "link", "delete", BRIDGE]);
        // Nobody has to call, and no start is needed.
        eventually(LATER, || site.whole(&first, "first"));
        first_namespace.inside(&["ping", "-6", "-c1", "-W1", GATEWAY]).run();
    }
    // Somebody may call at that very moment.
    site.host.run(["ip", "link", "delete", BRIDGE]);
    let (second_namespace, second) = site.attach("second");
    eventually(LATER, || site.whole(&second, "second"));
    eventually(LATER, || site.whole(&first, "first"));
    first_namespace.inside(&["ping", "-6", "-c1", "-W1", &second.address]).run();
    first_namespace.kill();
    second_namespace.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn case_32_a_bridge_that_is_only_joined_may_be_made_anew() {
    let make = "ip link add br0 type bridge; ip addr add 2001:db8:1::1/80 dev br0 nodad; ip link set br0 up";
    let site = Site::joined("br0", make);
    let (namespace, first) = site.attach("first");
    namespace.inside(&["ping", "-6", "-c1", "-W1", GATEWAY]).run();
    site.host.run(["ip", "link", "delete", "br0"]);
    let problems = site.check(&first.id);
    assert!(problems.iter().any(|problem| problem.contains("br0")), "{problems:?}");
    site.host.sh(make);
    eventually(LATER, || match site.check(&first.id) {
        problems if problems.is_empty() => Ok(()),
        problems => Err(format!("{problems:?}")),
    });
    namespace.inside(&["ping", "-6", "-c1", "-W1", GATEWAY]).run();
}

#[test]
fn case_32_a_bridge_that_was_deleted_does_not_keep_anything_attached() {
    let site = Site::new();
    let (_namespace, first) = site.attach("first");
    site.host.run(["ip", "link", "delete", BRIDGE]);
    site.try_deactivate(&first.id).expect_success();
    site.only(&[]).expect("nothing is left");
}

#[test]
fn case_30_a_port_that_was_deleted_is_a_detach() {
    let site = Site::new();
    let before = site.at_rest();
    let (namespace, first) = site.attach("first");
    site.host.run(["ip", "link", "delete", &format!("v6p{}", first.id)]);
    eventually(LATER, || site.only(&[]));
    assert_eq!(site.lookup("first"), "");
    // The same namespace can be attached again.
    let again = attached(&site.alice.try_attach(&namespace, "first").expect_success().stdout).remove(0);
    assert_eq!(again.address, first.address, "the name's own address");
    eventually(LATER, || site.whole(&again, "first"));

    // Inside, it is the user's to delete.
    namespace.inside(&["ip", "link", "delete", "v6pod0"]).run();
    eventually(LATER, || site.only(&[]));
    namespace.kill();
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn case_30_an_interface_that_was_moved_is_a_detach() {
    let mut site = Site::new();
    let before = site.at_rest();
    for restarted in [false, true] {
        let (namespace, _) = site.attach("first");
        let other = Namespaces::new(&site.alice, 1);
        if restarted {
            site.daemon.restart();
        }
        let target = other.pids()[0].to_string();
        namespace.inside(&["ip", "link", "set", "v6pod0", "netns", &target]).run();
        eventually(LATER, || site.only(&[]));
        assert_eq!(site.lookup("first"), "");
        assert_eq!(other.inside(&["ip", "-o", "link"]).run().stdout.lines().count(), 1);
        namespace.kill();
        other.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn case_32_what_was_altered_is_told_and_put_right_by_a_restart() {
    let mut site = Site::new();
    let (_namespace, first) = site.attach("first");
    let port = format!("v6p{}", first.id);
    for (change, word) in [
        (vec!["ip", "link", "set", &port, "nomaster"], "not a port"),
        (vec!["ip", "link", "set", &port, "down"], "down"),
        (vec!["ip", "link", "set", &port, "alias", "mine"], "mark"),
        (vec!["ip", "neigh", "del", &first.address, "dev", BRIDGE], "neighbour"),
        (vec!["ip", "link", "set", BRIDGE, "down"], "bridge"),
    ] {
        site.host.run(&change);
        let problems = site.check(&first.id);
        assert!(problems.iter().any(|problem| problem.contains(word)), "{change:?}: {problems:?}");
        site.daemon.restart();
        eventually(LATER, || site.whole(&first, "first").map_err(|error| format!("{change:?}: {error}")));
    }
}

#[test]
fn case_30_an_interface_may_be_deleted_at_any_moment_of_an_attach() {
    let site = Site::new();
    let before = site.at_rest();
    let namespace = Namespaces::new(&site.alice, 1);
    let deleting =
        namespace.inside(&["sh", "-c", "while :; do ip link delete v6pod0 2>/dev/null; done"]).spawn();
    let (mut done, mut refused) = (0, Vec::new());
    let start = Instant::now();
    // Until it has come between often enough, and after the end too.
    for round in 0.. {
        if round >= 40 && done > 0 && refused.len() > 5 {
            break;
        }
        assert!(
            start.elapsed() < LATER * 4,
            "the race does not happen: attached {done}, refused {refused:?}"
        );
        let output = site.alice.try_attach(&namespace, "victim");
        if output.success() {
            done += 1;
        } else {
            refused.push(output.stdout);
        }
        eventually(LATER, || site.only(&[]).map_err(|error| format!("round {round}: {error}")));
    }
    eprintln!("attached {done}, refused {}: {:?}", refused.len(), refused.first());
    drop(deleting);
    let last = attached(&site.alice.try_attach(&namespace, "victim").expect_success().stdout).remove(0);
    eventually(LATER, || site.whole(&last, "victim"));
    namespace.kill();
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

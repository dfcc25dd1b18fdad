//! Somebody takes away what the daemon made: the administrator on the host, or the user inside.

use v6pod_integration::{Namespaces, attached, eventually};

use crate::site::{GATEWAY, LATER, SOON, Site};

const BRIDGE: &str = "v6pod0";

#[test]
fn a_bridge_that_was_deleted_is_made_again() {
    let site = Site::new();
    let before = site.at_rest();
    let (first_namespace, first) = site.attach("first");
    eventually(SOON, || site.whole(&first, "first"));
    site.host.run(["ip", "link", "delete", BRIDGE]);

    let problems = site.check(&first.id);
    assert!(problems.iter().any(|problem| problem.contains(BRIDGE)), "{problems:?}");
    let (second_namespace, second) = site.attach("second");
    eventually(SOON, || site.whole(&second, "second"));
    second_namespace.inside(&["ping", "-6", "-c1", "-W1", GATEWAY]).run();

    // What had lost its bridge has a place on the new one, at the latest after the next start.
    let mut site = site;
    site.daemon.restart();
    eventually(SOON, || site.whole(&first, "first"));
    first_namespace.inside(&["ping", "-6", "-c1", "-W1", &second.address]).run();
    first_namespace.kill();
    second_namespace.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn a_bridge_that_was_deleted_does_not_keep_anything_attached() {
    let site = Site::new();
    let (_namespace, first) = site.attach("first");
    site.host.run(["ip", "link", "delete", BRIDGE]);
    site.try_deactivate(&first.id).expect_success();
    site.only(&[]).expect("nothing is left");
}

#[test]
fn a_port_that_was_deleted_is_a_detach() {
    let site = Site::new();
    let before = site.at_rest();
    let (namespace, first) = site.attach("first");
    site.host.run(["ip", "link", "delete", &format!("v6p{}", first.id)]);
    eventually(SOON, || site.only(&[]));
    assert_eq!(site.lookup("first"), "");
    // The same namespace can be attached again.
    let again = attached(&site.alice.try_attach(&namespace, "first").expect_success().stdout).remove(0);
    assert_eq!(again.address, first.address, "the name's own address");
    eventually(SOON, || site.whole(&again, "first"));

    // Inside, it is the user's to delete.
    namespace.inside(&["ip", "link", "delete", "v6pod0"]).run();
    eventually(SOON, || site.only(&[]));
    namespace.kill();
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn what_was_altered_is_told_and_put_right_by_a_restart() {
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
        eventually(SOON, || site.whole(&first, "first").map_err(|error| format!("{change:?}: {error}")));
    }
}

#[test]
fn an_interface_may_be_deleted_at_any_moment_of_an_attach() {
    let site = Site::new();
    let before = site.at_rest();
    let namespace = Namespaces::new(&site.alice, 1);
    let deleting =
        namespace.inside(&["sh", "-c", "while :; do ip link delete v6pod0 2>/dev/null; done"]).spawn();
    let (mut done, mut refused) = (0, Vec::new());
    for round in 0..40 {
        let output = site.alice.try_attach(&namespace, "victim");
        if output.success() {
            done += 1;
        } else {
            refused.push(output.stdout);
        }
        eventually(SOON, || site.only(&[]).map_err(|error| format!("round {round}: {error}")));
    }
    eprintln!("attached {done}, refused {}: {:?}", refused.len(), refused.first());
    drop(deleting);
    let last = attached(&site.alice.try_attach(&namespace, "victim").expect_success().stdout).remove(0);
    eventually(SOON, || site.whole(&last, "victim"));
    namespace.kill();
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

//! A step that fails, as if the kernel had refused it: the caller is told, nothing is left, and the next
//! try succeeds.

use v6pod_integration::{LATER, Namespaces, attached, eventually};

use crate::{site::Site, steps::steps};

#[test]
fn attaching_fails_at_each_step_and_leaves_nothing() {
    let mut site = Site::new();
    let before = site.at_rest();
    for step in steps("attach") {
        site.restart_with(&format!("fail:{step}"));
        let namespace = Namespaces::new(&site.alice, 1);
        let outcome = site.alice.try_attach(&namespace, "victim");
        if step == "attach.published" {
            // Nothing can fail any more.
            outcome.expect_success();
            namespace.kill();
            eventually(LATER, || site.only(&[]));
            continue;
        }
        let refused = outcome.expect_failure();
        assert!(refused.stdout.contains("a test asked for this failure"), "{step}: {refused}");
        site.only(&[]).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(namespace.inside(&["ip", "-o", "link"]).run().stdout.lines().count(), 1, "{step}");
        assert_eq!(site.lookup("victim"), "", "{step}");

        let victim = attached(&site.alice.try_attach(&namespace, "victim").expect_success().stdout).remove(0);
        eventually(LATER, || site.whole(&victim, "victim").map_err(|error| format!("{step}: {error}")));
        namespace.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn detaching_fails_at_each_step_and_the_next_try_finishes_it() {
    let mut site = Site::new();
    let before = site.at_rest();
    for step in steps("detach") {
        site.restart_with(&format!("fail:{step}"));
        let (namespace, victim) = site.attach("victim");
        let failed = site.try_deactivate(&victim.id).expect_failure();
        assert!(failed.stderr.contains("a test asked for this failure"), "{step}: {failed}");
        // After a second the daemon tries again by itself, and may have done so on a busy machine.
        let again = site.try_deactivate(&victim.id);
        assert!(again.success() || again.stderr.contains("there is no attachment"), "{step}: {again}");
        site.only(&[]).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(site.lookup("victim"), "", "{step}");
        namespace.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn detaching_fails_at_each_step_and_the_daemon_tries_again_by_itself() {
    let mut site = Site::new();
    let before = site.at_rest();
    let mut refused = 0;
    for step in steps("detach") {
        site.restart_with(&format!("fail:{step}"));
        let namespace = Namespaces::new(&site.alice, 1);
        let (mut client, _) = site.alice.hold(&namespace, "victim");
        client.kill9();
        eventually(LATER, || site.only(&[]).map_err(|error| format!("{step}: {error}")));
        assert_eq!(site.lookup("victim"), "", "{step}");
        refused += 1;
        assert_eq!(site.daemon.log().matches("it is tried again").count(), refused, "{step}");
        namespace.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn what_could_not_be_detached_is_not_given_to_who_asks_for_it_again() {
    let mut site = Site::new();
    for step in ["detach.neighbour", "detach.link"] {
        site.restart_with(&format!("fail:{step}"));
        let (namespace, victim) = site.attach("victim");
        site.try_deactivate(&victim.id).expect_failure();
        let again = attached(&site.alice.try_attach(&namespace, "victim").expect_success().stdout).remove(0);
        assert_ne!(again.id, victim.id, "{step}: half of it was gone");
        eventually(LATER, || site.whole(&again, "victim").map_err(|error| format!("{step}: {error}")));
        site.try_deactivate(&again.id).expect_success();
        namespace.kill();
    }
}

#[test]
fn detaching_fails_at_each_step_and_the_next_start_finishes_it() {
    let mut site = Site::new();
    for step in steps("detach") {
        site.restart_with(&format!("fail:{step}"));
        let (namespace, victim) = site.attach("victim");
        site.try_deactivate(&victim.id).expect_failure();
        site.daemon.stop();
        // What the daemon tried again and finished before it was stopped has none.
        let recorded = site.record(&victim.id);
        site.start();
        // Nothing was written down yet: then nothing has happened.
        if recorded.is_some_and(|(state, _)| state == "active") {
            eventually(LATER, || site.whole(&victim, "victim").map_err(|error| format!("{step}: {error}")));
            site.try_deactivate(&victim.id).expect_success();
        }
        site.only(&[]).unwrap_or_else(|error| panic!("{step}: {error}"));
        namespace.kill();
    }
}

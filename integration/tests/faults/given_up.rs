//! Work that fails or panics half way does not stay half way: it is given up, which watchers see, and finished
//! later.

use serde_json::Value;
use v6pod_integration::{Background, LATER, Namespaces, attached, eventually};

use crate::{site::Site, steps::steps};

/// The states that a watcher saw one attachment in, and its end.
fn seen(watch: &Background) -> Vec<String> {
    let log = watch.log();
    let events = serde_json::Deserializer::from_str(&log).into_iter::<Value>().map_while(Result::ok);
    let word = |event: &Value| {
        let key =
            if event["kind"] == "KIND_REMOVED" { &event["kind"] } else { &event["attachment"]["state"] };
        Some(key.as_str()?.split_once('_')?.1.to_owned())
    };
    events.filter_map(|event| word(&event)).collect()
}

#[test]
fn watchers_see_that_a_detach_was_given_up() {
    let mut site = Site::new();
    site.restart_with("fail:detach.link");
    let (_namespace, victim) = site.attach("victim");
    let socket = "/run/v6pod/v6pod.sock";
    let watch = site.host.spawn(["grpcurl", "-plaintext", "-unix", socket, "v6pod.v1.Attachments/Watch"]);
    let shows = |wanted: &[&str]| {
        eventually(LATER, || if seen(&watch) == wanted { Ok(()) } else { Err(watch.log()) });
    };
    shows(&["ACTIVE"]);
    site.try_deactivate(&victim.id).expect_failure();
    shows(&["ACTIVE", "DETACHING", "ACTIVE", "DETACHING", "REMOVED"]);
}

#[test]
fn an_attach_that_panics_leaves_nothing() {
    let mut site = Site::new();
    let before = site.at_rest();
    // Then it is attached, and nothing can fail any more.
    for step in steps("attach").into_iter().filter(|step| *step != "attach.published") {
        site.restart_with(&format!("panic:{step}"));
        let namespace = Namespaces::new(&site.alice, 1);
        let refused = site.alice.try_attach(&namespace, "victim").expect_failure();
        assert!(refused.stdout.contains("failed in an unforeseen way"), "{step}: {refused}");
        eventually(LATER, || site.only(&[]).map_err(|error| format!("{step}: {error}")));
        let victim = site.alice.try_attach(&namespace, "victim").expect_success();
        let victim = attached(&victim.stdout).remove(0);
        eventually(LATER, || site.whole(&victim, "victim").map_err(|error| format!("{step}: {error}")));
        namespace.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn a_detach_that_panics_is_finished_later() {
    let mut site = Site::new();
    let before = site.at_rest();
    for step in steps("detach") {
        site.restart_with(&format!("panic:{step}"));
        let namespace = Namespaces::new(&site.alice, 1);
        let (mut client, _) = site.alice.hold(&namespace, "victim");
        client.kill9();
        eventually(LATER, || site.only(&[]).map_err(|error| format!("{step}: {error}")));
        assert_eq!(site.lookup("victim"), "", "{step}");
        assert!(site.daemon.log().contains("panicked"), "{step}: it did not");
        namespace.kill();
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

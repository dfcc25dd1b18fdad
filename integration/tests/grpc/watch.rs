//! Watch: what there is, then every change.

use serde_json::Value;
use v6pod_integration::{Background, LATER, eventually};

use crate::caller::{Caller, Site, messages};

/// A watch that goes on until it is dropped.
#[track_caller]
fn watch(caller: &Caller) -> Background {
    caller.grpcurl(&["-max-time", "60", "-d", "{}"], &["v6pod.v1.Attachments/Watch"]).spawn()
}

/// The events so far, as `KIND name`.
fn events(watch: &Background) -> Vec<String> {
    let text = |event: &Value| {
        let kind = event["kind"].as_str().unwrap_or_default().trim_start_matches("KIND_").to_owned();
        format!("{kind} {}", event["attachment"]["name"].as_str().unwrap_or("-"))
    };
    messages(&watch.log()).iter().map(text).collect()
}

#[track_caller]
fn shows(watch: &Background, wanted: &[&str]) {
    eventually(LATER, || {
        let events = events(watch);
        if events == wanted { Ok(()) } else { Err(format!("{events:?} instead of {wanted:?}")) }
    });
}

#[test]
fn changes_are_seen_as_they_happen_by_those_they_concern() {
    let site = Site::new(&["alice", "bob"]);
    let (alice, bob) = (site.user("alice"), site.user("bob"));
    alice.start("first");
    let (by_root, by_alice, by_bob) = (watch(&site.root()), watch(&alice), watch(&bob));
    shows(&by_root, &["EXISTING first", "SYNCED -"]);
    shows(&by_alice, &["EXISTING first", "SYNCED -"]);
    shows(&by_bob, &["SYNCED -"]);
    bob.start("second");
    shows(&by_root, &["EXISTING first", "SYNCED -", "ADDED second"]);
    alice.podman(&["stop", "-t", "0", "first"]);
    // Changed: it is being detached.
    shows(&by_alice, &["EXISTING first", "SYNCED -", "CHANGED first", "REMOVED first"]);
    bob.podman(&["rm", "-f", "-t", "0", "second"]);
    shows(&by_bob, &["SYNCED -", "ADDED second", "CHANGED second", "REMOVED second"]);
    let all = ["ADDED second", "CHANGED first", "REMOVED first", "CHANGED second", "REMOVED second"];
    shows(&by_root, &[&["EXISTING first", "SYNCED -"], &all[..]].concat());
    assert_eq!(events(&by_alice).len(), 4, "{by_alice}");
}

#[test]
fn a_watch_ends_with_the_daemon() {
    let mut site = Site::new(&["alice"]);
    let mut watching = watch(&site.user("alice"));
    shows(&watching, &["SYNCED -"]);
    site.daemon.stop();
    assert!(!watching.wait(LATER).success(), "{watching}");
    assert!(watching.log().contains("Code: Unavailable"), "{watching}");
}

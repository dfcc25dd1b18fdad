//! States that are half there, or say what cannot be.

use serde_json::{Value, json};

use crate::site::{FrontEnd, Site, Streams};

/// What the hook makes of a state.
#[track_caller]
fn is_refused(site: &Site, state: &[u8]) {
    let output = site.call(FrontEnd::Hook, &[]).input(state).try_run();
    assert!(FrontEnd::Hook.complains(&output, Streams::BOTH), "{}\n{output}", state.escape_ascii());
}

fn state(site: &Site) -> Value {
    json!({
        "ociVersion": "1.0.2", "id": "c1", "pid": site.pid(), "status": "created", "bundle": "/tmp",
        "annotations": { "v6pod.network": "default" },
    })
}

#[test]
fn half_a_state() {
    let site = Site::new();
    let whole = state(&site).to_string();
    for end in 0..whole.len() {
        is_refused(&site, &whole.as_bytes()[..end]);
    }
    for input in [&b"\xff"[..], b"[]", b"null", b"5", &[b'['; 100_000], &[b' '; 2 << 20]] {
        is_refused(&site, input);
    }
    // A state of 1 MiB is read, and one octet more is not.
    let padded = |size: usize| [whole.as_bytes(), &vec![b' '; size - whole.len()]].concat();
    is_refused(&site, &padded((1 << 20) + 1));
    assert!(site.attachments().is_empty());
    let output = site.call(FrontEnd::Hook, &[]).input(padded(1 << 20)).try_run();
    assert!(!FrontEnd::Hook.complains(&output, Streams::BOTH), "{output}");
    assert_eq!(site.attachments().len(), 1);
}

#[test]
fn states_that_cannot_be() {
    let site = Site::new();
    let long = "x".repeat(100_000);
    let annotated = |key: &str, value: Value| json!({ "annotations": { key: value } });
    for change in [
        json!({ "id": "" }),
        json!({ "id": 5 }),
        json!({ "id": "../../etc" }),
        json!({ "id": long }),
        json!({ "id": "\u{1b}[2J" }),
        json!({ "pid": -1 }),
        json!({ "pid": "1" }),
        json!({ "pid": 1 }),
        json!({ "pid": 4_194_305 }),
        json!({ "pid": 1e300 }),
        json!({ "status": 5 }),
        json!({ "bundle": [] }),
        json!({ "annotations": [] }),
        annotated("v6pod.network", json!(5)),
        annotated("v6pod.network", json!("\u{0}")),
        annotated("v6pod.network", json!(long)),
        annotated("v6pod.nonsense", json!("")),
        annotated("v6pod.\u{1b}[2J", json!("")),
        annotated("v6pod.mtu", json!("99999999999999999999")),
        annotated("v6pod.mtu", json!("-1")),
        annotated("v6pod.address", json!("10.0.0.1")),
        annotated("v6pod.mac", json!("x")),
        annotated("v6pod.interface", json!("../x")),
        annotated("v6pod.ipfile", json!("/etc/passwd")),
        annotated("v6pod.ipfile", json!("../etc/passwd")),
        annotated("v6pod.tags", json!(vec!["t"; 17].join(","))),
    ] {
        let mut state = state(&site);
        state.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        is_refused(&site, state.to_string().as_bytes());
    }
    assert!(site.attachments().is_empty());
}

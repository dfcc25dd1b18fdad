//! What a watcher is told of a detach that fails.

use serde_json::Value;
use v6pod_integration::{Background, eventually};

use crate::site::{LATER, SOCKET, Site};

/// The states of what was sent so far; of SYNCED, none.
fn states(watch: &Background) -> Vec<String> {
    let log = watch.log();
    let messages = serde_json::Deserializer::from_str(&log).into_iter::<Value>().map_while(Result::ok);
    messages.map(|event| event["attachment"]["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_detach_that_fails_is_not_the_last_that_a_watcher_hears() {
    let mut site = Site::new();
    site.restart_with("fail:detach.withdrawn");
    let (namespace, victim) = site.attach("victim");
    let method = "v6pod.v1.Attachments/Watch";
    let watch = site.host.spawn(["grpcurl", "-plaintext", "-unix", "-max-time", "60", SOCKET, method]);
    let shows = |wanted: &[&str]| {
        eventually(LATER, || {
            let states = states(&watch);
            if states.iter().zip(wanted).filter(|(state, wanted)| state == *wanted).count() == wanted.len() {
                Ok(())
            } else {
                Err(format!("{states:?}\n{}", watch.log()))
            }
        });
    };
    shows(&["STATE_ACTIVE", ""]);
    site.try_deactivate(&victim.id).expect_failure();
    shows(&["STATE_ACTIVE", "", "STATE_DETACHING", "STATE_ACTIVE"]);
    namespace.kill();
    eventually(LATER, || site.only(&[]));
}

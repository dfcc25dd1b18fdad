//! What users of podman see of it: a container always starts, with as much as the rules allow.

use v6pod_integration::{Host, LATER, User, eventually};

use crate::site::NETWORKS;

fn list(user: &User) -> Vec<(String, String)> {
    let output = user.run(["v6pod", "list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let all = value["attachments"].as_array().expect("a list");
    all.iter().map(|one| (text(&one["name"]), text(&one["address"]))).collect()
}

#[test]
fn a_container_starts_with_what_the_rules_leave_it() {
    let host = Host::new("one", &["alice"]);
    let _daemon = host.daemon(&format!("{NETWORKS}[[rule]]\nnames = [\"{{user}}-*\"]\nattachments = 2\n"));
    let alice = host.user("alice");
    let run = |name: &str| alice.podman(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
    run("alice-web");
    // A name that is not hers: an address without a name.
    run("web");
    let attached = list(&alice);
    assert_eq!(attached.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["alice-web", ""]);
    assert!(attached.iter().all(|(_, address)| address.starts_with("2001:db8:1::")), "{attached:?}");
    // One too many: it starts all the same.
    run("alice-db");
    assert_eq!((alice.podman(["ps", "-q"]).stdout.lines().count(), list(&alice).len()), (3, 2));
    // What ends makes room, also for a container that is only restarted.
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    eventually(LATER, || if list(&alice).len() == 1 { Ok(()) } else { Err("not gone") });
    alice.podman(["restart", "-t", "0", "alice-db"]);
    alice.podman(["restart", "-t", "0", "alice-web"]);
    let mut names: Vec<_> = list(&alice).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["alice-db", "alice-web"]);
}

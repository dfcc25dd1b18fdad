//! GC and STATUS, which came with 1.1.0.

use serde_json::{Value, json};
use v6pod_integration::{LATER, eventually};

use crate::site::{C1, C2, Container, Site, config};

#[test]
fn gc_takes_what_cni_left_and_nothing_else() {
    let site = Site::new();
    let (net, other) = (config("1.1.0", json!({})), config("1.1.0", json!({ "name": "net2" })));
    site.host.sh("for name in other plain; do ip netns add $name; done");
    site.add(C1, &net);
    site.add(C2, &net);
    site.add(Container { id: "other", namespace: "/run/netns/other", interface: "eth0" }, &other);
    site.host.run(["v6pod", "attach", "/run/netns/plain"]);
    // Another user's with the very same tag; not this caller's business, though root sees it.
    let alices = "unshare --user --map-root-user --net sh -c 'echo $$; exec sleep infinity'";
    let alice = site.host.user("alice");
    let holder = alice.spawn(["bash", "-c", alices]);
    let pid = eventually(LATER, || holder.log().trim().parse::<u32>());
    let hook = "/usr/libexec/v6pod/v6pod-hook";
    site.host.run(["ln", "-s", "/usr/libexec/v6pod/slirp4netns", hook]);
    let state = json!({ "id": "alices", "pid": pid, "annotations": { "v6pod.tags": "cni=net/eth0" } });
    alice.command([hook]).input(state.to_string()).run();
    assert_eq!(site.attachments().len(), 5);

    let gc = |valid: Value| config("1.1.0", json!({ "cni.dev/valid-attachments": valid }));
    site.quietly(
        "GC",
        C1,
        &gc(json!([{ "containerID": "c1", "ifname": "eth0" }, { "containerID": "c2", "ifname": "eth0" }])),
    );
    assert_eq!(site.attachments().len(), 5);
    let silent = site.call("GC", C1, &net).expect_success();
    assert!(silent.stderr.contains("nothing is removed") && site.attachments().len() == 5, "{silent}");
    site.quietly(
        "GC",
        C1,
        &gc(json!([{ "containerID": "c1", "ifname": "eth0" }, { "containerID": "c2", "ifname": "eth1" }])),
    );
    assert_eq!(site.containers(), ["", "alices", "c1", "other"]);
    site.quietly("GC", C1, &gc(json!([])));
    assert_eq!(site.containers(), ["", "alices", "other"]);
}

#[test]
fn status_tells_of_missing_networks() {
    let site = Site::new();
    site.quietly("STATUS", C1, &config("1.1.0", json!({})));
    site.quietly("STATUS", C1, &config("1.1.0", json!({ "network": "blue" })));
    assert_eq!(site.refused("STATUS", C1, &config("1.1.0", json!({ "network": "red" }))).0, 51);
    assert_eq!(site.refused("STATUS", C1, &config("1.0.0", json!({}))).0, 1);
}

#[test]
fn status_of_a_full_network() {
    let site =
        Site::with("[network.small]\nprefix = \"2001:db8:3::/80\"\nbridge = \"small0\"\ncapacity = 1\n");
    let (small, default) = (config("1.1.0", json!({ "network": "small" })), config("1.1.0", json!({})));
    site.quietly("STATUS", C1, &small);
    let result = site.add(C1, &small);
    let (code, told) = site.refused("STATUS", C2, &small);
    assert_eq!(
        (code, told.as_str()),
        (50, "the network is full: all 1 places on the network small are taken")
    );
    site.quietly("STATUS", C2, &default);
    // It means ADD, and nothing that is there.
    assert_eq!(site.refused("ADD", C2, &small).0, 103);
    site.quietly("CHECK", C1, &config("1.1.0", json!({ "network": "small", "prevResult": result })));
    let networks = site.host.run(["v6pod", "status", "--json"]).json()["networks"].clone();
    let small_one = networks.as_array().and_then(|all| all.iter().find(|network| network["name"] == "small"));
    let counts = small_one.map(|network| (network["attachments"].clone(), network["capacity"].clone()));
    assert_eq!(counts, Some((json!(1), json!(1))));
    site.quietly("DEL", C1, &small);
    site.quietly("STATUS", C2, &small);
    site.add(C2, &small);
}

//! What each command does, and when it is an error.

use serde_json::json;
use v6pod_integration::{LATER, eventually};

use crate::site::{C1, C2, Container, Site, VERSIONS, config};

#[test]
fn every_verb_in_every_version() {
    let site = Site::new();
    for version in VERSIONS {
        let plain = config(version, json!({}));
        let result = site.add(C1, &plain);
        let [attachment] = &site.attachments()[..] else { panic!("not one attachment") };
        assert_eq!((&attachment["name"], &attachment["tags"]), (&json!("pod-c1"), &json!(["cni=net/eth0"])));
        assert_eq!(attachment["leased"], false);
        let address = attachment["address"].as_str().expect("a text");
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["interfaces"][0]["name"], attachment["host_interface"]);
        let inside = &result["interfaces"][1];
        assert_eq!((&inside["name"], &inside["sandbox"]), (&json!("eth0"), &json!(C1.namespace)));
        assert_eq!(inside["mac"], attachment["mac"]);
        assert_eq!(inside.get("mtu"), (version == "1.1.0").then_some(&json!(1500)));
        let ip = &result["ips"][0];
        assert_eq!((&ip["address"], &ip["interface"]), (&json!(format!("{address}/80")), &json!(1)));
        assert_eq!(ip.get("version"), (version < "1.0.0").then_some(&json!("6")));
        assert_eq!(result["routes"], json!([{ "dst": "::/0", "gw": "2001:db8:1::1" }]));
        assert_eq!(result["dns"]["nameservers"], json!(["2001:db8:1::1"]));
        assert!(site.inside("c1", "address show eth0").contains(address));
        site.reaches(address);

        let checked = config(version, json!({ "prevResult": result }));
        if version == "0.3.1" {
            assert_eq!(site.refused("CHECK", C1, &checked).0, 1);
        } else {
            site.quietly("CHECK", C1, &checked);
            assert_eq!(site.refused("CHECK", C2, &checked).0, 105);
        }
        let (code, told) = site.refused("ADD", C1, &plain);
        assert!(code == 101 && told.contains("eth0 on the network default"), "{told}");
        for _ in 0..2 {
            site.quietly("DEL", C1, &plain);
        }
        assert!(site.attachments().is_empty());
        assert!(!site.inside("c1", "link").contains("eth0"));
        if version != "0.3.1" {
            assert_eq!(site.refused("CHECK", C1, &checked).0, 105);
        }
    }
    let answer = site.call("VERSION", C1, &json!({ "cniVersion": "1.0.0" })).expect_success().json();
    assert_eq!(answer["supportedVersions"], json!(VERSIONS));
}

#[test]
fn a_namespace_has_one_network() {
    let site = Site::new();
    let (one, other) =
        (config("1.0.0", json!({})), config("1.0.0", json!({ "name": "other", "network": "blue" })));
    let second = Container { interface: "eth1", ..C1 };
    let result = site.add(C1, &one);
    assert_eq!(site.refused("ADD", second, &other).0, 101);
    // Runtimes then call DEL for what failed; the first one's must stay.
    site.quietly("DEL", second, &other);
    site.quietly("DEL", second, &one);
    site.quietly("DEL", C1, &other);
    site.quietly("CHECK", C1, &config("1.0.0", json!({ "prevResult": result })));
    assert_eq!(site.containers(), ["c1"]);
}

#[test]
fn del_without_a_namespace_or_a_daemon() {
    let mut site = Site::new();
    let config = config("1.1.0", json!({}));
    site.add(C1, &config);
    site.add(C2, &config);
    site.host.run(["ip", "netns", "del", "c1"]);
    site.quietly("DEL", C1, &config);
    site.quietly("DEL", Container { namespace: "", ..C2 }, &config);
    eventually(LATER, || {
        if site.containers().is_empty() { Ok(()) } else { Err(format!("{:?}", site.containers())) }
    });
    site.add(C2, &config);
    site.daemon.stop();
    assert_eq!(site.refused("DEL", C2, &config).0, 11, "it is attached, and the runtime may try again");
    assert_eq!(site.refused("ADD", C2, &config).0, 11);
    assert_eq!(site.refused("STATUS", C2, &config).0, 51);
    let gone = site.call("DEL", C1, &config).expect_success();
    assert!(gone.stderr.starts_with("v6pod: ") && gone.stderr.lines().count() == 1, "{gone}");
    site.daemon.start();
    site.quietly("STATUS", C2, &config);
    site.quietly("DEL", C2, &config);
    assert!(site.containers().is_empty());
}

#[test]
fn check_sees_what_is_missing() {
    let site = Site::new();
    let result = site.add(C1, &config("1.1.0", json!({})));
    let checked = config("1.1.0", json!({ "prevResult": result }));
    site.quietly("CHECK", C1, &checked);
    let mut other = checked.clone();
    other["prevResult"]["ips"][0]["address"] = "2001:db8:1::5/80".into();
    assert_eq!(site.refused("CHECK", C1, &other).0, 105);
    assert_eq!(site.refused("CHECK", Container { namespace: C2.namespace, ..C1 }, &checked).0, 105);
    assert_eq!(site.refused("CHECK", Container { namespace: "/run/netns/c9", ..C1 }, &checked).0, 3);
    assert_eq!(site.refused("CHECK", C1, &config("1.1.0", json!({}))).0, 7);
    let link = site.attachments()[0]["host_interface"].as_str().expect("a text").to_owned();
    site.host.run(["ip", "link", "set", &link, "nomaster"]);
    let (code, told) = site.refused("CHECK", C1, &checked);
    assert!(code == 105 && told.contains("is not a port of"), "{told}");
}

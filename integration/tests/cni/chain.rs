//! Executed by others: CNI's own cnitool, with a chain of plugins, and podman with its CNI backend.

use serde_json::{Value, json};
use v6pod_integration::{LATER, eventually};

use crate::site::{C1, PLUGINS, Site};

/// IPv4 by Debian's own plugins, IPv6 by ours, on one container. CHECK is off because the `bridge` plugin
/// wants every address of the result on its own interface.
const CHAIN: &str = r#"{"cniVersion":"VERSION","name":"chain","disableCheck":true,"plugins":[
    {"type":"loopback"},
    {"type":"bridge","bridge":"cni0","isGateway":true,"ipam":{"type":"host-local","dataDir":"/run/cni","ranges":[[{"subnet":"10.9.0.0/24"}]]}},
    {"type":"v6pod","capabilities":{"ips":true,"mac":true,"aliases":true}},
    {"type":"tuning","sysctl":{"net.core.somaxconn":"512"}}]}"#;

#[test]
fn cnitool_and_a_chain() {
    let site = Site::new();
    // Debian's plugins speak up to 1.0.0.
    let alone = r#"{"cniVersion":"1.1.0","name":"alone","plugins":[{"type":"v6pod"}]}"#;
    site.host.write("/etc/cni/net.d/10-chain.conflist", CHAIN.replace("VERSION", "1.0.0"));
    site.host.write("/etc/cni/net.d/20-alone.conflist", alone);
    let tool = |command: &str, network: &str, namespace: &str| {
        let tool = site.host.command(["cnitool", command, network, namespace]).env("CNI_PATH", PLUGINS);
        tool.env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web")
            .env("CAP_ARGS", r#"{"ips":["10.9.0.7/24"],"aliases":["www"]}"#)
            .try_run()
    };
    let result = tool("add", "chain", C1.namespace).expect_success().json();
    let name = |at: usize| result["interfaces"][at]["name"].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = (0..result["interfaces"].as_array().map_or(0, Vec::len)).map(name).collect();
    assert_eq!(names.last().map(String::as_str), Some("v6pod0"), "{result:#}");
    assert!(names.contains(&"eth0".to_owned()), "{result:#}");
    let ips: Vec<&Value> =
        result["ips"].as_array().expect("a list").iter().map(|ip| &ip["address"]).collect();
    let v6 =
        ips.iter().filter_map(|ip| ip.as_str()).find(|ip| ip.starts_with("2001:db8:1:")).expect("an address");
    assert!(ips.iter().any(|ip| ip.as_str().is_some_and(|ip| ip.starts_with("10.9.0."))), "{result:#}");
    assert!(site.inside("c1", "address show v6pod0").contains(v6));
    assert_eq!(site.attachments()[0]["aliases"], json!(["www"]));
    site.reaches(v6.split('/').next().expect("an address"));
    tool("check", "chain", C1.namespace).expect_success();
    tool("del", "chain", C1.namespace).expect_success();
    assert!(site.attachments().is_empty() && !site.inside("c1", "link").contains("v6pod0"));

    // An old Go builds only an old cnitool.
    let knows = |command: &str| site.host.try_run(["cnitool"]).stderr.contains(command);
    if knows("status") {
        tool("status", "alone", C1.namespace).expect_success();
    }
    tool("add", "alone", C1.namespace).expect_success();
    tool("check", "alone", C1.namespace).expect_success();
    if knows("gc") {
        tool("gc", "alone", C1.namespace).expect_success();
        assert!(site.attachments().is_empty());
    }
    tool("del", "alone", C1.namespace).expect_success();
    assert!(site.attachments().is_empty());
}

#[test]
fn podman_with_its_cni_backend() {
    let site = Site::new();
    let conflist = CHAIN.replace("VERSION", "0.4.0").replace(r#"{"type":"loopback"},"#, "");
    site.host.write("/etc/cni/net.d/10-chain.conflist", conflist);
    site.host.sh("printf '[network]\\nnetwork_backend = \"cni\"\\n' >>/etc/containers/containers.conf
        printf 'graphroot = \"/run/storage\"\\nrunroot = \"/run/runroot\"\\n' >>/etc/containers/storage.conf
        cp -a /usr/local/lib/v6pod-test/image/storage /run/storage");
    let podman = |arguments: &[&str]| site.host.command(["podman"].iter().chain(arguments)).try_run();
    let look = [
        "run",
        "-d",
        "--pids-limit=-1",
        "--name",
        "web",
        "--network",
        "chain",
        "busybox",
        "sh",
        "-c",
        "ip address; sleep 1000",
    ];
    podman(&look).expect_success();
    let [attachment] = &site.attachments()[..] else { panic!("not one attachment") };
    let address = attachment["address"].as_str().expect("a text");
    assert_eq!((&attachment["name"], &attachment["interface"]), (&json!("web"), &json!("v6pod0")));
    let logs = eventually(LATER, || {
        let logs = podman(&["logs", "web"]);
        if logs.stdout.contains("v6pod0") { Ok(logs) } else { Err(logs) }
    });
    assert!(logs.stdout.contains(address) && logs.stdout.contains("10.9.0."), "{logs}");
    let shown = podman(&["inspect", "web"]).expect_success();
    assert!(shown.stdout.contains(address), "podman inspect shows it\n{shown}");
    site.reaches(address);
    podman(&["rm", "-f", "-t", "0", "web"]).expect_success();
    assert!(site.attachments().is_empty());
}

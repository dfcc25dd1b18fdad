//! The CNI plugin: executed as a runtime does, by CNI's own cnitool, and by podman with its CNI backend.

#![allow(clippy::needless_pass_by_value, reason = "json! makes values")]

use std::time::Duration;

use serde_json::{Value, json};
use v6pod_integration::{Daemon, Host, Output, eventually};

/// Where Debian's plugins are, and ours is one of them.
const PLUGINS: &str = "/usr/lib/cni";
const PLUGIN: &str = "/usr/lib/cni/v6pod";
const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const NETWORKS: &str = "[network.default]\nprefix = \"2001:db8:1::/80\"\nallow_static = true\ndefault = true\n\
     [network.blue]\nprefix = \"2001:db8:2::/80\"\nbridge = \"blue0\"\n";
const SOON: Duration = Duration::from_secs(2);

struct Site {
    daemon: Daemon,
    host: Host,
}

/// One container as a runtime names it.
#[derive(Clone, Copy)]
struct Container<'a> {
    id: &'a str,
    namespace: &'a str,
    interface: &'a str,
}

const C1: Container<'_> = Container { id: "c1", namespace: "/run/netns/c1", interface: "eth0" };
const C2: Container<'_> = Container { id: "c2", namespace: "/run/netns/c2", interface: "eth0" };

impl Site {
    fn new() -> Self {
        let host = Host::builder("one").without_wrapper().user("alice").build();
        host.run(["ln", "-s", "/usr/libexec/v6pod/slirp4netns", PLUGIN]);
        host.sh("ip netns add c1; ip netns add c2");
        let daemon = host.daemon(NETWORKS);
        Self { daemon, host }
    }

    /// Runs the plugin, whatever comes of it.
    fn call(&self, command: &str, container: Container<'_>, config: &Value) -> Output {
        let plugin = self.host.command([PLUGIN]).env("CNI_COMMAND", command).env("CNI_PATH", PLUGINS);
        let plugin = plugin.env("CNI_CONTAINERID", container.id).env("CNI_NETNS", container.namespace);
        let plugin = plugin.env("CNI_IFNAME", container.interface);
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=x;K8S_POD_NAME=pod-{}", container.id);
        plugin.env("CNI_ARGS", arguments).input(config.to_string()).try_run()
    }

    /// Runs it and gives its result.
    #[track_caller]
    fn add(&self, container: Container<'_>, config: &Value) -> Value {
        self.call("ADD", container, config).expect_success().json()
    }

    /// Runs a command that has nothing to say.
    #[track_caller]
    fn quietly(&self, command: &str, container: Container<'_>, config: &Value) {
        let output = self.call(command, container, config).expect_success();
        assert_eq!(output.stdout, "", "{output}");
    }

    /// Runs it and gives its error: the code, and all that is said.
    #[track_caller]
    fn refused(&self, command: &str, container: Container<'_>, config: &Value) -> (u64, String) {
        let output = self.call(command, container, config).expect_failure();
        let error = output.json();
        let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("no {key}\n{output}")).to_owned();
        assert!(VERSIONS.contains(&text("cniVersion").as_str()), "{output}");
        (error["code"].as_u64().expect("a code"), format!("{}: {}", text("msg"), text("details")))
    }

    fn attachments(&self) -> Vec<Value> {
        let list = self.host.run(["v6pod", "list", "--json"]).json();
        list["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// The containers that are attached.
    fn containers(&self) -> Vec<String> {
        let id = |attachment: &Value| attachment["container_id"].as_str().unwrap_or_default().to_owned();
        let mut ids: Vec<String> = self.attachments().iter().map(id).collect();
        ids.sort();
        ids
    }

    /// The host reaches an address. A bridge that has just got its first port may lose a packet.
    #[track_caller]
    fn reaches(&self, address: &str) {
        eventually(SOON, || {
            let ping = self.host.try_run(["ping", "-6", "-c1", "-W1", address]);
            if ping.success() { Ok(()) } else { Err(ping) }
        });
    }

    /// What `ip` says inside a namespace of this host.
    fn inside(&self, namespace: &str, question: &str) -> String {
        self.host.sh(&format!("ip -n {namespace} -6 {question}")).stdout
    }
}

fn config(version: &str, more: Value) -> Value {
    let mut config = json!({ "cniVersion": version, "name": "net", "type": "v6pod" });
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    config
}

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
fn wishes_are_granted_or_refused_precisely() {
    let site = Site::new();
    let wishes = json!({
        "network": "default", "mtu": 1400,
        "runtimeConfig": { "ips": ["2001:db8:1::ab00:0:5/80"], "mac": "ab:00:00:00:00:05" },
    });
    let (code, told) = site.refused("ADD", C1, &config("1.1.0", wishes));
    assert!(code == 7 && told.contains("MAC"), "{told}");
    let wishes = json!({
        "mtu": 1400, "runtimeConfig": { "mac": "02:00:00:00:00:05", "aliases": ["a", "b"] },
        "dns": { "nameservers": ["2001:db8::53"], "search": ["x"] },
    });
    let result = site.add(C1, &config("1.1.0", wishes));
    assert_eq!(result["interfaces"][1]["mtu"], 1400);
    assert_eq!(result["dns"], json!({ "nameservers": ["2001:db8::53"], "search": ["x"] }));
    let attachment = &site.attachments()[0];
    assert_eq!(
        (&attachment["address"], &attachment["aliases"]),
        (&json!("2001:db8:1::200:0:5"), &json!(["a", "b"]))
    );
    let code = |more: Value| site.refused("ADD", C2, &config("1.1.0", more)).0;
    assert_eq!(code(json!({ "runtimeConfig": { "mac": "02:00:00:00:00:05" } })), 102, "the address is taken");
    assert_eq!(code(json!({ "runtimeConfig": { "ips": ["2001:db8:9::5"] } })), 7);
    assert_eq!(code(json!({ "runtimeConfig": { "ips": ["10.0.0.5"] } })), 2);
    assert_eq!(code(json!({ "ipam": { "type": "host-local" } })), 2);
    assert_eq!(code(json!({ "network": "red" })), 7);
    assert_eq!(code(json!({ "mtu": 9000 })), 7);
    let host = Container { namespace: "/proc/1/ns/net", ..C2 };
    assert_eq!(site.refused("ADD", host, &config("1.1.0", json!({}))).0, 100, "the host's own namespace");
    site.host.run(["ip", "-n", "c2", "link", "add", "eth0", "type", "bridge"]);
    assert_eq!(code(json!({})), 104, "the interface is there");
    assert_eq!(site.containers(), ["c1"]);
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
    eventually(SOON, || {
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
    let pid = eventually(SOON, || holder.log().trim().parse::<u32>());
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
fn nonsense_has_the_specifications_form() {
    let site = Site::new();
    let call = |input: Vec<u8>| {
        let output = site.host.command([PLUGIN]).env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", "c1");
        let output = output.env("CNI_NETNS", C1.namespace).env("CNI_IFNAME", "eth0").input(input).try_run();
        let output = output.expect_failure();
        (output.json()["code"].clone(), output.status.code())
    };
    assert_eq!(call(b"{\"cniVersion\":\"1.1.0\",".to_vec()), (json!(6), Some(1)));
    assert_eq!(call(b"\0\xff".to_vec()), (json!(6), Some(1)));
    assert_eq!(call(vec![b'x'; 64 << 20]), (json!(5), Some(1)));
    assert_eq!(call(b"{\"cniVersion\":\"7\"}".to_vec()), (json!(1), Some(1)));
    let bare =
        site.host.command(["bash", "-c", "exec -a v6pod-cni /usr/libexec/v6pod/slirp4netns"]).try_run();
    assert_eq!(bare.expect_failure().json()["code"], 4);
}

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
    let logs = eventually(SOON, || {
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

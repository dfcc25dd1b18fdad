//! The plugin without a daemon: what it understands, refuses, and makes of an attachment.

#![expect(clippy::needless_pass_by_value, reason = "json! makes values")]

use std::ffi::OsString;

use proptest::prelude::*;
use serde_json::json;
use v6pod_proto::v1::ActivateRequest;

use super::*;
use crate::activate::Activated;

const NAMESPACE: &str = "/proc/self/ns/net";

/// The variables of a command, with some set otherwise.
fn variables(command: &str, set: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let all = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", NAMESPACE),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/nonexistent"),
        ("V6POD_SOCKET", "/nonexistent/v6pod.sock"),
    ];
    let all: Vec<(String, OsString)> =
        all.iter().chain(set).map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    // The last one counts, and an empty one is absent.
    move |name| all.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn config(more: Value) -> Config {
    let mut object = json!({ "cniVersion": "1.1.0", "name": "net", "type": "v6pod" });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Config::check(object.as_object().unwrap().clone(), Command::Add).unwrap()
}

fn container() -> Container {
    Container::read(&variables("ADD", &[]), true).unwrap()
}

fn wish(more: Value, args: &str) -> Result<ActivateRequest, Error> {
    let args = Args::read(&variables("ADD", &[("CNI_ARGS", args)]))?;
    request::wish(&config(more), &container(), &args)
}

/// The error of a command with this configuration: code, and everything that is said.
fn refused(command: &str, set: &[(&str, &str)], input: &str) -> (u64, String) {
    let error = answer(&variables(command, set), input.as_bytes()).unwrap_err();
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cniVersion", "code", "details", "msg"]);
    let text = |key: &str| error[key].as_str().unwrap();
    (error["code"].as_u64().unwrap(), format!("{}: {}", text("msg"), text("details")))
}

const CONFIG: &str = r#"{"cniVersion":"1.1.0","name":"net","type":"v6pod"}"#;

#[test]
fn version_answers_whatever_the_input() {
    let known = json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for (input, version) in [
        ("{\"cniVersion\":\"0.4.0\"}", "0.4.0"),
        ("", "1.1.0"),
        ("{", "1.1.0"),
        ("{\"cniVersion\":1}", "1.1.0"),
    ] {
        let answer = answer(&variables("VERSION", &[]), input.as_bytes()).unwrap().unwrap();
        assert_eq!(answer, json!({ "cniVersion": version, "supportedVersions": known }));
    }
}

/// A command, variables set otherwise, the input; the code and the gist of the error.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u64, &'a str);

#[test]
fn bad_input_has_the_specifications_codes() {
    let long = "x".repeat(129);
    let huge = " ".repeat(1024 * 1024 + 1);
    let cases: &[Case<'_>] = &[
        ("", &[], CONFIG, 4, "CNI_COMMAND missing"),
        ("add", &[], CONFIG, 4, "CNI_COMMAND is not valid"),
        (
            "ADD",
            &[("CNI_CONTAINERID", ""), ("CNI_NETNS", "")],
            CONFIG,
            4,
            "CNI_CONTAINERID, CNI_NETNS missing",
        ),
        ("DEL", &[("CNI_IFNAME", ""), ("CNI_NETNS", "")], CONFIG, 4, "CNI_IFNAME missing"),
        ("ADD", &[("CNI_CONTAINERID", "../x")], CONFIG, 4, "CNI_CONTAINERID is not valid"),
        ("ADD", &[("CNI_CONTAINERID", &long)], CONFIG, 4, "CNI_CONTAINERID is not valid"),
        ("ADD", &[("CNI_IFNAME", "a/b")], CONFIG, 4, "CNI_IFNAME is not valid"),
        ("ADD", &[("CNI_IFNAME", "..")], CONFIG, 4, "CNI_IFNAME is not valid"),
        ("ADD", &[("CNI_IFNAME", "sixteen-octets-x")], CONFIG, 4, "CNI_IFNAME is not valid"),
        ("ADD", &[("CNI_ARGS", "X=1")], CONFIG, 4, "CNI_ARGS is not valid: \"X\": unknown"),
        ("ADD", &[("CNI_ARGS", "X")], CONFIG, 4, "CNI_ARGS is not valid: \"X\": expected KEY=VALUE"),
        ("ADD", &[("CNI_ARGS", "IgnoreUnknown=x")], CONFIG, 4, "CNI_ARGS is not valid"),
        ("ADD", &[("CNI_NETNS", "/nonexistent")], CONFIG, 3, "the network namespace does not exist"),
        ("ADD", &[("CNI_NETNS", "/etc/passwd")], CONFIG, 4, "it is not a network namespace"),
        ("ADD", &[("V6POD_SOCKET", "x")], CONFIG, 4, "V6POD_SOCKET is not valid"),
        ("ADD", &[], &huge, 5, "it is longer than 1 MiB"),
        ("ADD", &[], "", 6, "standard input is not JSON"),
        ("ADD", &[], "{\"cniVersion\":\"1.1.0\"", 6, "standard input is not JSON"),
        ("ADD", &[], "[]", 6, "not an object"),
        ("ADD", &[], r#"{"name":"net"}"#, 1, "incompatible CNI versions"),
        ("ADD", &[], r#"{"name":"net","cniVersion":"0.2.0"}"#, 1, "\"0.2.0\""),
        ("ADD", &[], r#"{"name":"net","cniVersion":"2.0.0"}"#, 1, "0.3.1, 0.4.0, 1.0.0, 1.1.0"),
        ("ADD", &[], r#"{"name":"net","cniVersion":1}"#, 7, "\"cniVersion\" must be a string"),
        ("CHECK", &[], r#"{"name":"net","cniVersion":"0.3.1"}"#, 1, "Check came with 0.4.0"),
        ("GC", &[], r#"{"name":"net","cniVersion":"1.0.0"}"#, 1, "Gc came with 1.1.0"),
        ("STATUS", &[], r#"{"name":"net","cniVersion":"1.0.0"}"#, 1, "Status came with 1.1.0"),
        ("ADD", &[], r#"{"cniVersion":"1.1.0"}"#, 7, "the network's name \"\" is not valid"),
        ("ADD", &[], r#"{"cniVersion":"1.1.0","name":"a\u0000b"}"#, 7, "is not valid"),
        ("ADD", &[], r#"{"cniVersion":"1.1.0","name":"net","socket":"x"}"#, 7, "must be an absolute path"),
        ("CHECK", &[], CONFIG, 7, "CHECK needs \"prevResult\""),
        (
            "GC",
            &[],
            r#"{"cniVersion":"1.1.0","name":"net","cni.dev/valid-attachments":[{}]}"#,
            7,
            "valid-attachments",
        ),
        // And with the daemon away.
        ("ADD", &[], CONFIG, 11, "v6podd does not answer"),
        (
            "ADD",
            &[],
            r#"{"cniVersion":"1.1.0","name":"net","socket":"/a\u0000b"}"#,
            100,
            "v6podd cannot be reached",
        ),
        ("DEL", &[], CONFIG, 11, "v6podd does not answer"),
        ("STATUS", &[], CONFIG, 51, "v6podd does not answer"),
    ];
    for (command, set, input, code, gist) in cases {
        let (found, told) = refused(command, set, input);
        assert_eq!(found, *code, "{command} {set:?} {told}");
        assert!(told.contains(gist), "{gist:?} is not in {told:?}");
    }
}

#[test]
fn errors_are_of_the_configurations_version() {
    let version =
        |input: &str| answer(&variables("ADD", &[]), input.as_bytes()).unwrap_err()["cniVersion"].clone();
    assert_eq!(version(r#"{"cniVersion":"0.3.1"}"#), "0.3.1");
    assert_eq!(version(r#"{"cniVersion":"9.9.9"}"#), "1.1.0");
    assert_eq!(version("{"), "1.1.0");
}

#[test]
fn del_needs_neither_the_daemon_nor_the_namespace() {
    for namespace in ["", "/nonexistent", "/etc/passwd"] {
        let set = [("CNI_NETNS", namespace)];
        assert_eq!(answer(&variables("DEL", &set), CONFIG.as_bytes()), Ok(None), "{namespace}");
    }
}

#[test]
fn wishes_come_from_everywhere() {
    let plain = wish(json!({}), "").unwrap();
    let expected = ActivateRequest {
        container_id: "c1".to_owned(),
        interface: "eth0".to_owned(),
        tags: vec!["cni=net/eth0".to_owned()],
        ..Default::default()
    };
    assert_eq!(plain, expected);
    let full = json!({
        "network": "blue", "mtu": 1400, "interface": "v6", "ipam": {}, "dns": {}, "unknown": [1],
        "runtimeConfig": { "ips": ["2001:db8::5/80"], "mac": "02:00:00:00:00:05", "aliases": ["a", "b"] },
        "args": { "cni": { "ips": ["2001:db8::6"] } },
    });
    let full =
        wish(full, "IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_NAMESPACE=x;IP=2001:db8::7;MAC=02:0::").unwrap();
    assert_eq!((full.network.as_str(), full.name.as_str(), full.mtu), ("blue", "web", 1400));
    assert_eq!((full.address.as_str(), full.mac.as_str()), ("2001:db8::5", "02:00:00:00:00:05"));
    assert_eq!((full.interface.as_str(), full.aliases.join(" ").as_str()), ("v6", "a b"));
    let by_args =
        wish(json!({ "args": { "cni": { "ips": ["2001:db8::6"] } } }), "IP=2001:db8::7;MAC=m").unwrap();
    assert_eq!((by_args.address.as_str(), by_args.mac.as_str()), ("2001:db8::6", "m"));
    assert_eq!(wish(json!({}), "IP=2001:db8::7").unwrap().address, "2001:db8::7");
    let podmans = json!({ "runtimeConfig": { "aliases": { "net": ["a"], "other": ["b"] } } });
    assert_eq!(wish(podmans, "").unwrap().aliases, ["a"]);
}

#[test]
fn wishes_that_cannot_be_met() {
    let code = |more: Value| wish(more, "").unwrap_err();
    let ips = |ips: Value| json!({ "runtimeConfig": { "ips": ips } });
    assert_eq!(code(ips(json!(["10.0.0.1"]))).code, Code::Unsupported);
    assert_eq!(code(ips(json!(["2001:db8::1", "2001:db8::2"]))).code, Code::Config);
    assert_eq!(code(ips(json!(["x"]))).code, Code::Config);
    assert_eq!(code(ips(json!("x"))).code, Code::Config);
    assert_eq!(code(json!({ "mtu": -1 })).code, Code::Config);
    assert_eq!(code(json!({ "prevResult": [] })).code, Code::Config);
    assert_eq!(code(json!({ "name": "n".repeat(56) })).code, Code::Config);
    assert!(wish(json!({ "name": "n".repeat(55) }), "").is_ok());
    let ipam = code(json!({ "ipam": { "type": "host-local" } }));
    assert_eq!(ipam.code, Code::Unsupported);
    assert!(ipam.msg.contains(r#"{"type":"host-local"}"#), "{ipam}");
}

#[test]
fn a_chain_keeps_its_interface_and_its_ipv4() {
    let chained = |sandbox: &str, name: &str| {
        let previous = json!({ "interfaces": [{ "name": name, "sandbox": sandbox }] });
        let ips = json!({ "ips": ["10.0.0.1", "2001:db8::5"] });
        wish(json!({ "prevResult": previous, "runtimeConfig": ips }), "").unwrap()
    };
    assert_eq!(chained(NAMESPACE, "eth0").interface, "v6pod0");
    assert_eq!(chained(NAMESPACE, "eth0").address, "2001:db8::5");
    assert_eq!(chained("", "eth0").interface, "eth0");
    assert_eq!(chained(NAMESPACE, "lo").interface, "eth0");
}

fn activated() -> Activated {
    let attachment = Attachment {
        address: "2001:db8::5".to_owned(),
        prefix_length: 80,
        gateway: "2001:db8::1".to_owned(),
        interface: "eth0".to_owned(),
        mac: "02:00:00:00:00:05".to_owned(),
        mtu: 1500,
        host_interface: "v6p1".to_owned(),
        ..Default::default()
    };
    Activated { attachment, created: true, dns_servers: vec!["2001:db8::1".to_owned()], unnamed: None }
}

fn result(version: &str, more: Value) -> Value {
    let mut config = config(more);
    config.object.insert("cniVersion".to_owned(), version.into());
    let config = Config::check(config.object, Command::Add).unwrap();
    result::of(&config, &container(), &activated()).unwrap()
}

#[test]
fn results_have_the_shape_of_their_version() {
    let newest = json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "v6p1" },
            { "name": "eth0", "mac": "02:00:00:00:00:05", "mtu": 1500, "sandbox": NAMESPACE },
        ],
        "ips": [{ "address": "2001:db8::5/80", "gateway": "2001:db8::1", "interface": 1 }],
        "routes": [{ "dst": "::/0", "gw": "2001:db8::1" }],
        "dns": { "nameservers": ["2001:db8::1"] },
    });
    assert_eq!(result("1.1.0", json!({})), newest);
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let mut expected = newest.clone();
        expected["cniVersion"] = version.into();
        expected["interfaces"][1].as_object_mut().unwrap().remove("mtu");
        if version < "1.0.0" {
            expected["ips"][0]["version"] = "6".into();
        }
        assert_eq!(result(version, json!({})), expected);
    }
}

#[test]
fn results_before_are_kept() {
    let previous = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "cni0", "x": 1 }, { "name": "eth9", "sandbox": NAMESPACE }],
        "ips": [{ "address": "10.0.0.2/24", "interface": 1 }],
        "routes": null,
        "dns": { "nameservers": ["10.0.0.1"], "search": ["a"], "domain": "d" },
        "extra": true,
    });
    let result =
        result("1.0.0", json!({ "prevResult": previous, "dns": { "search": ["b"], "options": [] } }));
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 4);
    assert_eq!(result["interfaces"][0], json!({ "name": "cni0", "x": 1 }));
    assert_eq!(result["ips"][0], json!({ "address": "10.0.0.2/24", "interface": 1 }));
    assert_eq!(result["ips"][1]["interface"], 3);
    assert_eq!(result["routes"].as_array().unwrap().len(), 1);
    let dns = json!({ "nameservers": ["2001:db8::1", "10.0.0.1"], "search": ["b"], "domain": "d" });
    assert_eq!((&result["dns"], &result["extra"]), (&dns, &json!(true)));
    // And CHECK recognises it.
    let differs = |attachment: &Attachment| {
        result::differs(result.as_object().unwrap(), &container(), attachment).unwrap()
    };
    let attachment = activated().attachment;
    assert_eq!(differs(&attachment), None);
    let moved = Attachment { address: "2001:db8::6".to_owned(), ..attachment.clone() };
    assert_eq!(differs(&moved).unwrap(), "prevResult does not have the address 2001:db8::6/80");
    assert!(differs(&Attachment { interface: "v6pod0".to_owned(), ..attachment }).is_some());
}

/// Configurations that get past the first line.
fn plausible() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("prevResult"),
        Just("runtimeConfig"),
        Just("ips"),
        Just("interfaces"),
        Just("dns"),
        Just("args"),
        Just("cni"),
        Just("aliases"),
        Just("mtu"),
        Just("routes"),
        Just("cni.dev/valid-attachments"),
    ]
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("2001:db8::5/80")),
    ];
    let value = leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|map| Value::from(Object::from_iter(map))),
        ]
    });
    let versions = prop_oneof![Just("0.3.1"), Just("0.4.0"), Just("1.0.0"), Just("1.1.0")];
    (versions, value).prop_map(|(version, value)| {
        let mut object = value.as_object().cloned().unwrap_or_default();
        object.insert("cniVersion".to_owned(), version.into());
        object.insert("name".to_owned(), "net".into());
        Value::from(object).to_string()
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(command in "(ADD|DEL|CHECK|GC|STATUS|VERSION|.{0,5})", input: Vec<u8>, args in ".{0,20}") {
        let _ = answer(&variables(&command, &[("CNI_ARGS", &args)]), input.as_slice());
    }

    #[test]
    fn plausible_configurations_never_panic(command in "(ADD|DEL|CHECK|GC|STATUS)", input in plausible()) {
        let _ = answer(&variables(&command, &[]), input.as_bytes());
        let Ok(Value::Object(object)) = serde_json::from_str(&input) else { unreachable!() };
        if let Ok(config) = Config::check(object, Command::Add) {
            let _ = result::of(&config, &container(), &activated());
            let _ = result::differs(&config.object, &container(), &activated().attachment);
        }
    }
}

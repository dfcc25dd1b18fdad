//! Every error that the specification knows and that can be ours, and what hostile callers try.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use serde_json::{Value, json};
use v6pod_integration::{Command, Namespaces};

use crate::site::{C1, C2, Container, PLUGIN, Site, VERSIONS, as_a_runtime, config, error};

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

/// A call that the plugin has to refuse with this code.
#[track_caller]
fn code(command: Command, version: &str) -> u64 {
    error(&command.try_run(), version).0
}

#[test]
fn input_that_is_no_configuration() {
    let site = Site::new();
    let given = |input: &[u8]| code(site.plugin("ADD", C1).input(input), "1.1.0");
    let whole = config("1.1.0", json!({ "runtimeConfig": { "ips": [] } })).to_string();
    for end in 0..whole.len() {
        assert_eq!(given(&whole.as_bytes()[..end]), 6, "{}", &whole[..end]);
    }
    assert_eq!(given(b"\0\xff"), 6);
    assert_eq!(given(b"[]"), 6);
    assert_eq!(given(&vec![b'x'; 64 << 20]), 5);
    let padded = |size: usize| [whole.as_bytes(), &vec![b' '; size - whole.len()]].concat();
    assert_eq!(given(&padded((1 << 20) + 1)), 5);
    site.plugin("ADD", C1).input(padded(1 << 20)).run();
    assert_eq!(site.containers(), ["c1"]);
}

#[test]
fn versions_that_are_not_spoken() {
    let site = Site::new();
    for version in ["", "0.1.0", "0.2.0", "0.3.0", "1.2.0", "2.0.0", "1.1", "v1.1.0", "1.1.0\n"] {
        for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let (code, told) = site.refused(command, C1, &config(version, json!({})));
            assert!(
                code == 1 && told.contains("0.3.1, 0.4.0, 1.0.0, 1.1.0"),
                "{command} {version:?}: {told}"
            );
        }
    }
    // What came with later versions is an error of the version that was asked for.
    for (command, since) in [("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")] {
        for version in VERSIONS.into_iter().filter(|version| *version < since) {
            assert_eq!(site.refused(command, C1, &config(version, json!({}))).0, 1, "{command} {version}");
        }
    }
    assert_eq!(site.refused("ADD", C1, &json!({ "cniVersion": 1, "name": "net" })).0, 7);
}

#[test]
fn every_code_of_the_specification() {
    let mut site = Site::new();
    let plain = |version: &str| config(version, json!({}));
    for version in VERSIONS {
        // The words have to name the field and its value, or the variables.
        let ipam = config(version, json!({ "ipam": { "type": "host-local" } }));
        let (code, told) = site.refused("ADD", C1, &ipam);
        assert!(code == 2 && told.contains(r#""ipam""#) && told.contains("host-local"), "{told}");
        let gone = Container { namespace: "/run/netns/c9", ..C1 };
        assert_eq!(site.refused("ADD", gone, &plain(version)).0, 3);
        let (code, told) = site.refused("ADD", Container { id: "", interface: "", ..C1 }, &plain(version));
        assert!(code == 4 && told.contains("CNI_CONTAINERID, CNI_IFNAME missing"), "{told}");
        assert_eq!(site.refused("ADD", C1, &json!({ "cniVersion": version, "name": "a/b" })).0, 7);
        if version != "0.3.1" {
            assert_eq!(site.refused("CHECK", C1, &plain(version)).0, 7, "without prevResult");
        }
    }
    assert_eq!(site.refused("STATUS", C1, &config("1.1.0", json!({ "network": "red" }))).0, 51);
    site.daemon.stop();
    for version in VERSIONS {
        assert_eq!(site.refused("ADD", C1, &plain(version)).0, 11);
    }
    assert_eq!(site.refused("STATUS", C1, &plain("1.1.0")).0, 51);
}

#[test]
fn variables_that_are_missing() {
    let site = Site::new();
    let input = config("1.1.0", json!({})).to_string();
    let bare = |variables: &[(&str, &str)]| {
        let plugin = site.host.command(["bash", "-c", "exec -a v6pod-cni /usr/libexec/v6pod/slirp4netns"]);
        let plugin = variables.iter().fold(plugin, |plugin, (name, value)| plugin.env(name, value));
        error(&plugin.input(input.as_str()).try_run(), "1.1.0")
    };
    let all = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", C1.namespace),
    ];
    for (at, (name, _)) in all.iter().enumerate() {
        let others = [&all[..at], &all[at + 1..]].concat();
        let (code, told) = bare(&others);
        assert!(code == 4 && told.contains(&format!("{name} missing")), "{told}");
    }
    let (code, told) = bare(&[]);
    assert!(code == 4 && told.contains("CNI_COMMAND missing"), "{told}");
    let (code, told) = bare(&all[..1]);
    assert!(code == 4 && told.contains("CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS missing"), "{told}");
    assert!(site.attachments().is_empty());
}

#[test]
fn variables_that_are_malicious() {
    let site = Site::new();
    let input = config("1.1.0", json!({})).to_string();
    let long = "x".repeat(100_000);
    let given = |name: &str, value: &[u8], command: &str| {
        let plugin = site.plugin(command, C1).env(name, OsStr::from_bytes(value));
        error(&plugin.input(input.as_str()).try_run(), "1.1.0")
    };
    let texts: [&[u8]; 14] = [
        b"../../../etc/passwd",
        b"/etc/passwd",
        b"..",
        b".",
        b"-x",
        b"a b",
        b"a:b",
        b"a\nb",
        b"a%sb/",
        b"\x1b[2J",
        b"\xff\xfe",
        "\u{202e}x".as_bytes(),
        b"$(reboot)",
        long.as_bytes(),
    ];
    for text in texts {
        for name in ["CNI_CONTAINERID", "CNI_IFNAME"] {
            for command in ["ADD", "DEL", "CHECK"] {
                let (code, told) = given(name, text, command);
                assert!(code == 4 && told.contains(name), "{command} {name}: {told}");
            }
        }
        for name in ["CNI_COMMAND", "CNI_ARGS"] {
            let (code, told) = given(name, text, "ADD");
            assert!(code == 4 && told.contains(name), "{name}: {told}");
        }
    }
    assert_eq!(given("CNI_IFNAME", b"sixteen-octets-x", "ADD").0, 4);
    assert_eq!(given("CNI_COMMAND", b"add", "ADD").0, 4);
    // What is no name costs the name alone, and what is no interface of ours is not touched.
    site.plugin("ADD", C1).env("CNI_ARGS", "K8S_POD_NAME=../../x").input(input.as_str()).run();
    assert_eq!(site.attachments()[0]["name"], "");
    site.plugin("DEL", C1).env("CNI_IFNAME", "lo").input(input.as_str()).run();
    assert_eq!(site.containers(), ["c1"]);
    assert!(!site.daemon.log().contains("panicked"));
}

#[test]
fn namespaces_out_of_reach() {
    let site = Site::new();
    let alice = site.host.user("alice");
    let input = config("1.0.0", json!({})).to_string();
    alice.sh("mkfifo ~/fifo; ln -s loop ~/loop; mkdir ~/folder
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'");
    let add = |namespace: &[u8]| {
        let plugin = as_a_runtime(alice.command([PLUGIN]), "ADD", C1);
        let plugin = plugin.env("CNI_NETNS", OsStr::from_bytes(namespace)).input(input.as_str());
        error(&plugin.try_run(), "1.0.0")
    };
    let long = format!("/{}", "x".repeat(5000));
    let cases: [(&[u8], u64, &str); 19] = [
        // Root's, which she can open, and the host's.
        (b"/run/netns/c1", 100, "not allowed"),
        (b"/proc/self/ns/net", 100, "not allowed"),
        (b"/proc/self/task/../ns/net", 100, "not allowed"),
        // What she cannot open, or what is not there.
        (b"/proc/1/ns/net", 4, "Permission denied"),
        (b"/root/secret", 4, "Permission denied"),
        (b"/nonexistent", 3, "No such file"),
        (b"c1", 3, "No such file"),
        (b"loop", 4, "CNI_NETNS"),
        (long.as_bytes(), 4, "File name too long"),
        (b"\xff", 4, "not UTF-8"),
        // What is no namespace, or another kind of one.
        (b"fifo", 4, "not a network namespace"),
        (b"folder", 4, "not a network namespace"),
        (b"socket", 4, "CNI_NETNS"),
        (b"/dev/zero", 4, "not a network namespace"),
        (b"/dev/tty", 4, "CNI_NETNS"),
        (b"/etc/passwd", 4, "not a network namespace"),
        (b"/proc/self/mem", 7, "not accept"),
        (b"/proc/self/ns/uts", 7, "not accept"),
        (b"/proc/self/ns/user", 7, "not accept"),
    ];
    for (namespace, code, words) in cases {
        let (found, told) = add(namespace);
        assert!(found == code && told.contains(words), "{}: {found} {told}", namespace.escape_ascii());
    }
    assert!(site.attachments().is_empty() && !site.inside("c1", "link").contains("eth0"));
    // Her own is no trouble.
    let own = Namespaces::new(&alice, 1);
    let plugin = as_a_runtime(alice.command([PLUGIN]), "ADD", C1);
    plugin.env("CNI_NETNS", format!("/proc/{}/ns/net", own.pids()[0])).input(input.as_str()).run();
    assert_eq!(site.attachments()[0]["uid"], alice.uid());
    assert!(!site.daemon.log().contains("panicked"));
}

//! The plugin called by hand: whatever it is given, it answers in netavark's own form.

use serde_json::{Value, json};
use v6pod_integration::{Command, Host, User};

const PLUGIN: &str = "/usr/libexec/v6pod/v6pod-netavark";

fn host() -> Host {
    let host = Host::new("one", &["alice"]);
    host.sh(&format!("ln -s slirp4netns {PLUGIN}"));
    host
}

/// The error in the answer of a failed call.
#[track_caller]
fn error(command: Command) -> String {
    let output = command.try_run();
    assert_eq!(output.status.code(), Some(1), "{output}");
    let answer: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("not JSON\n{output}"));
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("no error\n{output}"));
    assert!(!output.stderr.contains("panicked") && !error.contains(char::is_control), "{output}");
    error.to_owned()
}

fn setup(user: &User, namespace: &str, input: &Value) -> Command {
    user.command([PLUGIN, "setup", namespace]).input(input.to_string())
}

fn container() -> Value {
    json!({
        "container_id": "752947ff91f9", "container_name": "web", "port_mappings": [],
        "network": { "name": "v6net", "id": "2f25", "driver": "v6pod", "options": {} },
        "network_options": { "interface_name": "eth0" },
    })
}

#[test]
fn bad_input_gets_an_error() {
    let host = host();
    let alice = host.user("alice");
    for arguments in [&[][..], &["setup"], &["teardown"], &["create", "x"], &["setup", "a", "b"], &["--help"]]
    {
        let told = error(alice.command([PLUGIN].iter().chain(arguments)));
        assert!(told.contains("setup PATH"), "{told}");
    }
    for verb in [&["create"][..], &["setup", "/proc/self/ns/net"], &["teardown", "/proc/self/ns/net"]] {
        for input in
            ["", "{", "[]", "null", "{\"a\":\"\\ud800\"}", &"[".repeat(500_000), &" ".repeat(5_000_000)]
        {
            let command = alice.command([PLUGIN].iter().chain(verb)).input(input);
            assert!(error(command).starts_with("standard input"));
        }
    }
    let whole = container().to_string();
    for end in (0..whole.len()).step_by(7) {
        error(alice.command([PLUGIN, "setup", "/proc/self/ns/net"]).input(&whole[..end]));
    }
    let info = alice.run([PLUGIN, "info"]).json();
    assert_eq!(info["api_version"], "1.0.0");
}

#[test]
fn namespaces_out_of_reach_get_an_error() {
    let host = host();
    let alice = host.user("alice");
    let away = error(setup(&alice, "/proc/self/ns/net", &container()));
    assert!(away.contains("is v6podd running?"), "{away}");

    let daemon = host.daemon("prefix = \"2001:db8:1::/80\"\n");
    for (path, words) in [
        ("/nonexistent", "cannot open the network namespace /nonexistent"),
        ("/root/secret", "Permission denied"),
        ("/proc/1/ns/net", "Permission denied"),
        ("", "cannot open the network namespace"),
        ("/proc/self/ns/net", "v6podd refused"),
        ("/proc/self/ns/uts", "v6podd refused"),
        ("/etc/passwd", "v6podd refused"),
        ("/home/alice", "v6podd refused"),
        ("/dev/null", "v6podd refused"),
    ] {
        let told = error(setup(&alice, path, &container()));
        assert!(told.contains(words), "{path}: {told}");
    }
    // What is not attached needs no detaching.
    let teardown = alice.command([PLUGIN, "teardown", "/nonexistent"]).input(container().to_string()).run();
    assert_eq!(teardown.stdout, "");
    assert!(!daemon.log().contains("panicked"));
}

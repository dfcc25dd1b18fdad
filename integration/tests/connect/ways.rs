//! How users meet it: through the programs they use anyway.

use serde_json::Value;
use v6pod_integration::{Namespaces, Output};

use crate::site::{PROGRAM, closed_daemon, host, install};

const SOCKET: &str = "/run/v6pod/v6pod.sock";

/// The sentence a command failed with.
#[track_caller]
fn complaint(output: Output) -> String {
    let output = output.expect_failure();
    assert_eq!((output.stdout.as_str(), output.stderr.lines().count()), ("", 1), "{output}");
    output.stderr.trim().to_owned()
}

#[test]
fn a_user_attaches_through_a_closed_socket() {
    let host = host();
    install(&host, "4755");
    let daemon = closed_daemon(&host);
    let alice = host.user("alice");
    let by_hand = Namespaces::new(&alice, 1);
    alice.run(["v6pod", "attach", &by_hand.pids()[0].to_string()]);
    // And by the core that the other ways in share.
    let namespaces = Namespaces::new(&alice, 1);
    alice.attach(&namespaces, 1);

    let listed = |output: Output| output.json()["attachments"].as_array().cloned().unwrap_or_default();
    let roots = listed(host.run(["v6pod", "list", "--json"]));
    let uids: Vec<_> = roots.iter().map(|attachment: &Value| attachment["uid"].as_u64()).collect();
    assert_eq!(uids, vec![Some(alice.uid().into()); 2], "{}", daemon.log());
    assert_eq!(listed(alice.run(["v6pod", "list", "--json"])).len(), 2);
    assert!(namespaces.inside(&["ip", "-6", "address"]).run().stdout.contains("2001:db8:1:"));
    assert_eq!(host.try_run(["pgrep", "v6pod-connect"]).stdout, "");
}

#[test]
fn without_it_a_closed_socket_is_closed() {
    let host = host();
    let _daemon = closed_daemon(&host);
    let line = complaint(host.user("alice").try_run(["v6pod", "list"]));
    assert_eq!(
        line,
        format!("v6pod: you may not use {SOCKET}: ask the administrator, who decides by its mode and group")
    );
}

#[test]
fn where_it_has_no_effect_a_line_says_so() {
    let host = host();
    install(&host, "4755");
    let daemon = closed_daemon(&host);
    let alice = host.user("alice");
    let closed = format!("v6pod: cannot connect to {SOCKET}, which is closed to users: ");
    for wrapper in [
        &["setpriv", "--no-new-privs"][..],
        &["unshare", "--user"],
        &["unshare", "--user", "--map-root-user"],
    ] {
        let line = complaint(alice.try_run(wrapper.iter().chain(&["v6pod", "list"])));
        assert!(line.starts_with(&closed) && line.contains("user namespace"), "{line}");
        assert!(line.ends_with("the socket would need the mode 0666"), "{line}");
    }
    host.run(["chmod", "0755", PROGRAM]);
    let line = complaint(alice.try_run(["v6pod", "list"]));
    assert_eq!(line, format!("{closed}{PROGRAM} is not setuid root: chown root and chmod 4755 make it so"));
    host.run(["chmod", "4755", PROGRAM]);
    drop(daemon);
    let line = complaint(alice.try_run(["v6pod", "list"]));
    assert!(line.starts_with("v6pod: v6podd is not running (nobody listens on "), "{line}");
}

#[test]
fn a_program_that_does_not_answer_keeps_nobody_waiting() {
    let host = host();
    let _daemon = closed_daemon(&host);
    let alice = host.user("alice");
    host.write(PROGRAM, "#!/bin/sh\nexec sleep 100\n");
    host.run(["chmod", "4755", PROGRAM]);
    let line = complaint(alice.try_run(["v6pod", "list"]));
    assert!(line.ends_with(&format!("{PROGRAM} did not answer within 1000 ms")), "{line}");
    assert_eq!(host.try_run(["pgrep", "-x", "sleep"]).stdout, "");
    host.write(PROGRAM, "#!/bin/sh\nprintf x >&0\n");
    let line = complaint(alice.try_run(["v6pod", "list"]));
    assert!(line.ends_with(&format!("what {PROGRAM} sent is no connection")), "{line}");
}

#[test]
fn it_depends_on_the_c_library_alone() {
    let host = host();
    install(&host, "0755");
    let output = host.run(["ldd", PROGRAM]);
    let libraries: Vec<_> = output.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let is_c = |name: &&str| ["linux-vdso.so", "libc.so", "/lib"].iter().any(|start| name.starts_with(start));
    assert!(libraries.len() == 3 && libraries.iter().all(is_c), "{output}");
}

//! Everything the program is given by who starts it, turned against it.

use v6pod_integration::PYTHON;

use crate::site::{ATTACK, PROGRAM, Seen, Site, host, install};

/// Its exit statuses, as its `main.rs` has them.
const CONNECTED: i32 = 0;
const USAGE: i32 = 2;
const NO_CHANNEL: i32 = 3;
const NOT_SETUID: i32 = 4;
const AWAY: i32 = 6;
const BUSY: i32 = 7;
const REFUSED: i32 = 8;
const NOT_ROOTS: i32 = 10;
const NOT_PASSED: i32 = 11;

#[test]
fn it_connects_a_user_as_that_user() {
    let site = Site::new();
    site.attack("plain").is("plain", CONNECTED);
    assert_eq!(site.guests(), 1);
}

#[test]
fn a_borrowed_group_is_given_back() {
    let site = Site::new();
    // env that is setgid, and what it executes has root's group until it changes that.
    site.alice.host().run(["install", "--mode=2755", "/usr/bin/env", "/usr/local/bin/groupenv"]);
    let borrowed = site.alice.run(["groupenv", "id", "--group"]);
    assert_eq!(borrowed.text(), "0");
    site.attack_through(&["groupenv"], "plain").is("plain", CONNECTED);
}

#[test]
fn only_a_socket_pair_of_the_callers_is_a_channel() {
    let outcome = Site::new().attack("descriptors");
    for (case, status) in [
        ("0 closed", NO_CHANNEL),
        ("1 and 2 closed", CONNECTED),
        ("all closed", NO_CHANNEL),
        ("1000 open", CONNECTED),
        ("a file", NO_CHANNEL),
        ("a folder", NO_CHANNEL),
        ("/dev/null", NO_CHANNEL),
        ("a path", NO_CHANNEL),
        ("memory", NO_CHANNEL),
        ("a pipe", NO_CHANNEL),
        ("a terminal", NO_CHANNEL),
        ("datagrams", NO_CHANNEL),
        ("packets", NO_CHANNEL),
        ("TCP", NO_CHANNEL),
        ("netlink", NO_CHANNEL),
        ("unconnected", NO_CHANNEL),
        ("listening", NOT_PASSED),
        ("another server's", NO_CHANNEL),
        ("reader gone", NOT_PASSED),
        ("never read", CONNECTED),
        ("full", NOT_PASSED),
    ] {
        match case {
            // Its far end is not read, so nothing is known of what was passed.
            "never read" => assert_eq!(outcome.runs[case].status, status),
            _ => outcome.is(case, status),
        }
    }
}

#[test]
fn the_environment_is_not_read() {
    let outcome = Site::new().attack("environment");
    outcome.are_all(CONNECTED);
    for (case, run) in &outcome.runs {
        assert!(run.output.is_empty() || case == "profiled", "{case}: {run:?}");
    }
    assert_eq!(outcome.made, Vec::<String>::new());
}

#[test]
fn there_are_no_arguments() {
    let outcome = Site::new().attack("arguments");
    for case in outcome.runs.keys() {
        outcome.is(case, if case.contains("argument") { USAGE } else { CONNECTED });
    }
}

#[test]
fn limits_make_it_fail_at_worst() {
    let outcome = Site::new().attack("limits");
    for case in ["files 4", "files 5", "cores", "file size 0", "processes 0", "locked memory 0", "signals 0"]
    {
        outcome.is(case, CONNECTED);
    }
    for case in ["last in line", "no directory", "umask"] {
        outcome.is(case, CONNECTED);
    }
    for (case, run) in &outcome.runs {
        // 5 is its own, 127 the dynamic loader's; 99: it was not even executed.
        assert!(run.status <= 0 || [5, 127, 99].contains(&run.status), "{case}: {run:?}");
    }
    assert!(outcome.runs["files 0"].status != 0);
}

#[test]
fn signals_end_it_at_worst() {
    let outcome = Site::new().attack("signals");
    outcome.is("all ignored", CONNECTED);
    outcome.is("all blocked and pending", CONNECTED);
    assert!(outcome.runs.values().all(|run| run.status <= 0));
    let storm = || outcome.runs.iter().filter(|(case, _)| case.starts_with("storm"));
    let (ended, done) = storm().partition::<Vec<_>, _>(|(_, run)| run.status < 0);
    assert!(!ended.is_empty() && !done.is_empty(), "{} ended, {} done", ended.len(), done.len());
}

#[test]
fn nobody_looks_into_it() {
    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    let site = Site::new();
    let outcome = site.attack("trace");
    outcome.is("traced from the start", NOT_SETUID);
    for seen in &outcome.seen {
        assert_eq!(seen.name, "v6pod-connect");
        assert!(seen.attach.iter().all(|error| *error == EPERM), "{seen:?}");
        assert!(seen.files.iter().all(|error| *error == EACCES), "{seen:?}");
    }
    let count = |what: fn(&&Seen) -> bool| outcome.seen.iter().filter(what).count();
    let (loading, with_rights) = (count(|seen| seen.uids[1] == 0), count(|seen| seen.uids.contains(&0)));
    let closed = count(|seen| seen.closed);
    let all = outcome.seen.len();
    eprintln!(
        "caught {all} times: {loading} at its start, {with_rights} with rights, {closed} with nothing open"
    );
    assert!(with_rights > 0 && closed > 0);
}

#[test]
fn many_at_once_are_all_served() {
    let site = Site::new();
    site.attack("crowd").are_all(CONNECTED);
    assert_eq!(site.guests(), 50);
}

#[test]
fn it_does_not_wait_for_a_server_that_is_busy() {
    let host = host();
    install(&host, "4755");
    let site = Site::with_witness(host, &["0600", "deaf"]);
    let outcome = site.attack("crowd");
    let busy = outcome.runs.values().filter(|run| run.status == BUSY && run.passed == 0).count();
    assert!(busy >= 48, "{busy}");
}

#[test]
fn a_server_that_is_not_roots_gets_nobody() {
    let site = Site::new();
    let host = site.alice.host();
    // Root is careless: it lets alice make the socket.
    host.sh("rm /run/v6pod/v6pod.sock; chown alice /run/v6pod");
    site.attack("plain").is("plain", AWAY);
    let _imposter = site.alice.spawn(["bash", "-c", IMPOSTER]);
    host.sh("until ss -xlH src /run/v6pod/v6pod.sock | grep -q .; do sleep 0.02; done");
    site.attack("plain").is("plain", NOT_ROOTS);
}

const IMPOSTER: &str = "exec python3 -c 'import socket, time
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(\"/run/v6pod/v6pod.sock\")
    listener.listen()
    time.sleep(600)'";

#[test]
fn without_its_rights_it_opens_nothing() {
    let site = Site::new();
    let ends = |program: &[&str], status| site.attack_through(program, "plain").is("plain", status);
    ends(&["setpriv", "--no-new-privs"], NOT_SETUID);
    let host = site.alice.host();
    host.run(["chmod", "0755", PROGRAM]);
    ends(&[], NOT_SETUID);
    host.run(["chmod", "4755", PROGRAM]);
    host.sh(&format!("mount --bind {PROGRAM} {PROGRAM}; mount -o remount,bind,nosuid {PROGRAM}"));
    ends(&[], NOT_SETUID);
    assert_eq!(site.guests(), 0);
}

/// Root of one's own user namespace is nobody to the host.
#[test]
fn in_a_user_namespace_it_opens_nothing() {
    let site = Site::new();
    for (namespace, status) in
        [(&["unshare", "--user"][..], NOT_SETUID), (&["unshare", "--user", "--map-root-user"], REFUSED)]
    {
        let told = site.alice.run(namespace.iter().chain(&[PYTHON, ATTACK, "plain"])).json();
        assert_eq!((&told["status"], &told["passed"]), (&status.into(), &0.into()), "{told}");
    }
    assert_eq!(site.guests(), 0);
}

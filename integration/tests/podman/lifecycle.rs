//! A container's life: whatever podman does to it, its address and its name do what a user expects.

use std::time::{Duration, Instant};

use v6pod_integration::{LATER, Net, Signal, User, eventually};

use crate::site::{Site, address, serve};

fn site(users: &[&str]) -> Site {
    Site::new(&Net::new(), "one", users)
}

/// The address under a name, as soon as it is there.
#[track_caller]
fn resolved(site: &Site, name: &str) -> String {
    eventually(LATER, || match &site.lookup(&format!("{name}.v6pod"))[..] {
        [address] => Ok(address.clone()),
        other => Err(format!("{other:?}\n{}", site.daemon.log())),
    })
}

#[test]
fn stop_and_start_keep_the_address() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    let first = serve(&alice, "web", &[]);
    alice.podman(["stop", "-t", "0", "web"]);
    site.nothing_is_left();
    alice.podman(["start", "web"]);
    assert_eq!(address(&alice, "web"), first);
    assert_eq!(resolved(&site, "web"), first);
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    site.nothing_is_left();
}

#[test]
fn restart_keeps_the_address_and_the_name() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    let first = serve(&alice, "web", &[]);
    for _ in 0..3 {
        alice.podman(["restart", "-t", "0", "web"]);
        assert_eq!(address(&alice, "web"), first);
        assert_eq!(resolved(&site, "web"), first);
        assert_eq!(site.names(), ["web"]);
    }
}

#[test]
fn a_restart_policy_brings_the_address_back() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    let first = serve(&alice, "web", &["--restart=always"]);
    for _ in 0..3 {
        let before = alice.container_pid("web");
        site.host.run(["kill", "-9", &before.to_string()]);
        eventually(LATER, || match alice.container_pid("web") {
            0 => Err("not running".to_owned()),
            pid if pid == before => Err("not restarted".to_owned()),
            _ => Ok(()),
        });
        eventually(LATER, || {
            let found = site.lookup("web.v6pod");
            if found == [first.clone()] { Ok(()) } else { Err(format!("{found:?}\n{}", site.daemon.log())) }
        });
        assert_eq!(address(&alice, "web"), first);
        site.host.run(["ping", "-6", "-c1", "-w10", &first]);
    }
}

#[test]
fn a_pod_has_one_address_for_all_its_containers() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    alice.podman(["pod", "create", "--name", "shop"]);
    alice.podman([
        "run", "-d", "--pod", "shop", "--name", "front", "busybox", "httpd", "-f", "-h", "/var/www",
    ]);
    alice.podman(["run", "-d", "--pod", "shop", "--name", "back", "busybox", "sleep", "1000"]);
    assert_eq!(address(&alice, "front"), address(&alice, "back"));
    assert_eq!(site.attachments().len(), 1, "the pod's, and none for each container");
    alice.podman(["pod", "rm", "-f", "-t", "0", "shop"]);
    site.nothing_is_left();
}

#[test]
fn keep_id_passes_a_process_and_works_the_same() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    // Not root inside, it may not listen on port 80.
    alice.podman(["run", "-d", "--userns=keep-id", "--name", "web", "busybox", "sleep", "1000"]);
    let first = address(&alice, "web");
    assert_eq!(resolved(&site, "web"), first);
    site.host.run(["ping", "-6", "-c1", "-w10", &first]);
    alice.podman(["stop", "-t", "0", "web"]);
    site.nothing_is_left();
    alice.podman(["start", "web"]);
    assert_eq!(address(&alice, "web"), first);
}

#[test]
fn a_container_that_is_removed_when_it_ends_is_named_too() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    let first = serve(&alice, "gone", &["--rm"]);
    assert_eq!(resolved(&site, "gone"), first);
    alice.podman(["stop", "-t", "0", "gone"]);
    site.nothing_is_left();
}

#[test]
fn a_renamed_container_has_its_new_name_from_its_next_start() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    serve(&alice, "before", &[]);
    // Renaming makes no network event in podman: nobody is told.
    alice.podman(["rename", "before", "after"]);
    assert_eq!(site.names(), ["before"]);
    alice.podman(["restart", "-t", "0", "after"]);
    site.names_become(&["after"]);
    assert_eq!(resolved(&site, "after"), address(&alice, "after"));
    assert!(site.lookup("before.v6pod").is_empty());
}

#[test]
fn two_users_may_run_containers_of_one_name_but_only_the_first_has_it() {
    let site = site(&["alice", "bob"]);
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let first = serve(&alice, "web", &[]);
    let second = serve(&bob, "web", &[]);
    assert_ne!(first, second);
    assert_eq!(resolved(&site, "web"), first, "who came first keeps the name");
    assert_eq!(site.names(), ["-", "web"]);
    site.host.run(["ping", "-6", "-c1", "-w10", &second]);
    // It is free again with its owner's container, and the next start takes it.
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    site.names_become(&["-"]);
    bob.podman(["restart", "-t", "0", "web"]);
    assert_eq!(resolved(&site, "web"), address(&bob, "web"));
}

fn slirp_of(user: &User) -> String {
    let found = user.run(["pgrep", "-u", user.name(), "slirp4netns"]);
    found.text().lines().next().expect("slirp4netns runs").to_owned()
}

#[test]
fn without_the_daemon_containers_start_all_the_same() {
    let mut site = site(&["alice"]);
    site.daemon.stop();
    let alice = site.host.user("alice");
    alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let shown = alice.container_net("web", ["ip", "-o", "link"]).run();
    assert!(shown.stdout.contains("tap0") && !shown.stdout.contains("v6pod0"), "{shown}");
    let command = site.host.run(["cat", &format!("/proc/{}/cmdline", slirp_of(&alice))]);
    assert!(
        command.stdout.contains("--enable-ipv6"),
        "what slirp4netns gives alone is not taken away: {command}"
    );
}

/// With the limit that everybody has who sets none.
#[test]
fn a_daemon_that_hangs_delays_a_container_by_two_seconds() {
    let mut site = site(&["alice"]);
    site.host.run(["rm", "/etc/v6pod/client.toml"]);
    let alice = site.host.user("alice");
    let run = |name: &str| {
        let start = Instant::now();
        alice.podman(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
        start.elapsed()
    };
    let quiet = run("before");
    site.daemon.process().signal(Signal::STOP);
    let took = run("web");
    site.daemon.process().signal(Signal::CONT);
    eprintln!("a daemon that hangs: {took:?}, otherwise {quiet:?}");
    // Far less than the limit in the other tests, which is 20 s.
    let limit = Duration::from_secs(2);
    assert!(
        took > limit && took < limit + quiet * 3 + Duration::from_secs(5),
        "{took:?}, otherwise {quiet:?}"
    );
    let shown = alice.container_net("web", ["ip", "-o", "link"]).run();
    assert!(shown.stdout.contains("tap0") && !shown.stdout.contains("v6pod0"), "{shown}");
}

#[test]
fn no_process_stays_beside_slirp4netns() {
    let site = site(&["alice"]);
    let alice = site.host.user("alice");
    serve(&alice, "web", &[]);
    let processes = alice.run(["ps", "-u", alice.name(), "-o", "comm="]);
    assert!(processes.stdout.contains("slirp4netns") && !processes.stdout.contains("v6pod"), "{processes}");
}

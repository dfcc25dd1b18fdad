//! A name is there from the start of its container to its end, however that comes.

use std::time::{Duration, Instant};

use v6pod_integration::{LATER, User, eventually};

use crate::site::{Site, address, run, stop};

/// A container whose name is known, and what one may do to it.
struct Case {
    site: Site,
    alice: User,
    address: String,
}

impl Case {
    #[track_caller]
    fn new() -> Self {
        let site = Site::new(&["alice"]);
        let alice = site.host.user("alice");
        let address = site.start(&alice, "web");
        Self { site, alice, address }
    }

    /// The container has come to its end just now: so does its name, and another's does not.
    #[track_caller]
    fn ends(&self) {
        self.site.ends("web", &self.address);
        assert_eq!(self.site.call("v6pod.v1.Attachments/List")["attachments"], serde_json::json!([]));
    }

    /// Sends SIGKILL to the one process of the host that is called so.
    #[track_caller]
    fn kill9(&self, program: &str) {
        let found = self.site.host.run(["pgrep", "-x", program]);
        assert_eq!(found.stdout.lines().count(), 1, "{found}");
        self.site.host.run(["kill", "-9", found.text()]);
    }
}

#[test]
fn names_are_there_when_podman_run_returns() {
    let site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let took = ["first", "second", "third"].map(|name| {
        run(&alice, name);
        let started = Instant::now();
        let question = format!("{name}.v6pod");
        eventually(LATER, || {
            let answer = site.dns(&[&question, "AAAA"]);
            if answer.records.is_empty() { Err(answer) } else { Ok(()) }
        });
        let in_dns = started.elapsed();
        eventually(LATER, || {
            let answer = site.asked_consul(name);
            if answer.records.is_empty() { Err(answer) } else { Ok(()) }
        });
        let in_consul = started.elapsed();
        eprintln!("{name}: DNS {in_dns:?}, then Consul {in_consul:?} after podman run, digs included");
        let address = address(&alice, name);
        assert_eq!(site.in_dns(name, &address), Ok(()));
        assert_eq!(site.in_consul(name, &address), Ok(()));
        in_consul
    });
    at_least_once_within_a_second(&took);
}

/// Nobody waits for the next comparison with Consul, which may be 30 s away. What else the machine does, it does not
/// do each time.
#[track_caller]
fn at_least_once_within_a_second(took: &[Duration]) {
    assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
}

#[test]
fn names_end_with_podman_stop_and_come_back_with_podman_start() {
    let case = Case::new();
    let other = case.site.start(&case.alice, "other");
    stop(&case.alice, "web");
    case.site.ends("web", &case.address);
    assert_eq!(case.site.in_dns("other", &other), Ok(()));
    assert_eq!(case.site.in_consul("other", &other), Ok(()));
    case.alice.podman(["start", "web"]);
    let again = address(&case.alice, "web");
    eventually(LATER, || case.site.in_dns("web", &again).and_then(|()| case.site.in_consul("web", &again)));
    assert_eq!(again, case.address, "a name's address stays, by default");
}

#[test]
fn names_end_with_podman_rm() {
    let case = Case::new();
    let mut address = case.address.clone();
    let took = [(); 3].map(|()| {
        case.alice.podman(["rm", "-f", "-t", "0", "web"]);
        let took = case.site.ends("web", &address);
        address = case.site.start(&case.alice, "web");
        took
    });
    at_least_once_within_a_second(&took);
}

#[test]
fn names_end_with_podman_kill() {
    let case = Case::new();
    case.alice.podman(["kill", "web"]);
    case.ends();
}

#[test]
fn names_end_with_the_containers_first_process() {
    let case = Case::new();
    case.site.host.run(["kill", "-9", &case.alice.container_pid("web").to_string()]);
    case.ends();
}

#[test]
fn names_end_with_slirp4netns() {
    let case = Case::new();
    case.kill9("slirp4netns");
    case.ends();
}

#[test]
fn names_end_with_conmon_although_the_container_lives() {
    let case = Case::new();
    let pid = case.alice.container_pid("web").to_string();
    case.kill9("conmon");
    case.ends();
    case.site.host.run(["kill", "-0", &pid]);
}

#[test]
fn names_end_with_the_interface() {
    let case = Case::new();
    case.alice.container_net("web", ["ip", "link", "delete", "v6pod0"]).run();
    case.ends();
}

//! Whatever podman does to a container, its address and its name do what a user expects; the same for each
//! podman and each way. Where a way differs, what is seen says so.

use v6pod_integration::{LATER, User, eventually};

use crate::{site::Site, way::Kind};

/// What a scenario has shown, to be told to users.
pub enum Seen {
    /// It goes as it should.
    Works,
    /// It does, and this is how.
    WorksSo(String),
    /// podman itself refuses, and this is why.
    Lacks(&'static str),
}

/// Leaves a site as it found it, or panics.
pub type Scenario = fn(&Site) -> Seen;

/// All of them, each under a name that says to users what they do.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("run", run),
    ("run --rm", run_rm),
    ("stop, start", stop_and_start),
    ("restart", restart),
    ("rm -f", rm_of_a_running_container),
    ("pod", a_pod),
    ("keep-id", keep_id),
    ("kill -9 conmon", kill_9_of_conmon),
    ("one to another", one_to_another),
];

/// From its first moment on until its program has ended.
fn run(site: &Site) -> Seen {
    let alice = site.alice();
    let first = ["run", "--name", "first"].iter().chain(site.way.options());
    let seen = alice.podman(first.chain(&["busybox", "ip", "-6", "-o", "address"]));
    let prefix = site.link.prefix.trim_end_matches(":/80");
    assert_eq!(seen.stdout.matches(prefix).count(), 1, "the program's first view\n{seen}");
    site.nothing_is_left();

    let address = site.serve(&alice, "web", &[]);
    site.is_served("web", &address);
    alice.podman(["kill", "web"]);
    site.nothing_is_left();
    alice.podman(["rm", "first", "web"]);
    Seen::Works
}

/// podman keeps such a container elsewhere.
fn run_rm(site: &Site) -> Seen {
    let alice = site.alice();
    let address = site.serve(&alice, "gone", &["--rm"]);
    site.is_served("gone", &address);
    alice.podman(["stop", "-t", "0", "gone"]);
    site.nothing_is_left();
    Seen::Works
}

fn stop_and_start(site: &Site) -> Seen {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    site.is_served("web", &address);
    alice.podman(["stop", "-t", "0", "web"]);
    site.nothing_is_left();
    alice.podman(["start", "web"]);
    assert_eq!(site.address(&alice, "web"), address);
    site.is_served("web", &address);
    alice.podman(["stop", "-t", "0", "web"]);
    alice.podman(["rm", "web"]);
    site.nothing_is_left();
    Seen::Works
}

fn restart(site: &Site) -> Seen {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    for _ in 0..3 {
        alice.podman(["restart", "-t", "0", "web"]);
        assert_eq!(site.address(&alice, "web"), address);
        site.is_served("web", &address);
        assert_eq!(site.attachments().len(), 1);
    }
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
    Seen::Works
}

fn rm_of_a_running_container(site: &Site) -> Seen {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    site.is_served("web", &address);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
    Seen::Works
}

fn a_pod(site: &Site) -> Seen {
    let alice = site.alice();
    let (pods, members) = (site.way.pod_options(), site.way.member_options());
    alice.podman(["pod", "create", "--name", "shop"].iter().chain(&pods));
    let server = ["busybox", "httpd", "-f", "-p", "[::]:8080", "-h", "/var/www"];
    let front = ["run", "-d", "--pod", "shop", "--name", "front"].iter().chain(members);
    alice.podman(front.chain(&server));
    alice.podman(["run", "-d", "--pod", "shop", "--name", "back", "busybox", "sleep", "1000"]);
    let address = site.address(&alice, "front");
    assert_eq!(site.address(&alice, "back"), address);
    let attachments = site.attachments();
    assert_eq!(attachments.len(), 1, "the pod's, and none for each container");
    let name = attachments[0]["name"].as_str().expect("a name");
    site.is_served(name, &address);
    if name == "front" {
        alice.podman(["stop", "-t", "0", "front"]);
        site.nothing_is_left();
    }
    // The programs in it do not end when they are asked to.
    alice.podman(["pod", "stop", "-t", "0", "shop"]);
    site.nothing_is_left();
    alice.podman(["pod", "rm", "shop"]);
    Seen::WorksSo(match name {
        "shop" => "as `POD`".to_owned(),
        "front" => "as `CONTAINER`".to_owned(),
        name if name.ends_with("-infra") => "as `ID-infra`".to_owned(),
        other => panic!("who would look for it under {other}?"),
    })
}

fn keep_id(site: &Site) -> Seen {
    let alice = site.alice();
    if site.way.is_rootful {
        let tried = alice.try_podman(["run", "--rm", "--userns=keep-id", "busybox", "true"]);
        if tried.stderr.contains("rootless mode") {
            return Seen::Lacks("rootless only");
        }
        tried.expect_success();
    }
    let address = site.serve(&alice, "web", &["--userns=keep-id"]);
    site.is_served("web", &address);
    alice.podman(["restart", "-t", "0", "web"]);
    assert_eq!(site.address(&alice, "web"), address);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
    Seen::Works
}

fn kill_9_of_conmon(site: &Site) -> Seen {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    let pid = alice.container_pid("web");
    let conmon = site.host.run(["ps", "-o", "ppid=", "-p", &pid.to_string()]).text().trim().to_owned();
    site.host.run(["kill", "-9", &conmon]);
    let seen = if site.way.kind == Kind::Wrapper {
        // slirp4netns ends with conmon, and the lease with slirp4netns.
        site.nothing_is_left();
        "the address ends"
    } else {
        // The container lives on, and so does its namespace; a slirp4netns of its own has a moment to end.
        site.host.run(["ping", "-6", "-c5", "-i0.1", "-W2", &address]);
        site.is_served("web", &address);
        "the address stays"
    };
    removed_somehow(&alice, "web");
    site.nothing_is_left();
    assert_eq!(site.serve(&alice, "web", &[]), address);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
    Seen::WorksSo(seen.to_owned())
}

/// podman 3 fails to remove such a container at first, and says why.
fn removed_somehow(user: &User, container: &str) {
    eventually(LATER, || {
        let tried = user.try_podman(["rm", "-f", container]);
        let left = user.podman(["ps", "-aq"]);
        if left.text().is_empty() { Ok(()) } else { Err(tried.to_string()) }
    });
}

/// Two containers, of two users where podman is a user's.
fn one_to_another(site: &Site) -> Seen {
    let (alice, bob) = (site.alice(), site.bob());
    let web = site.serve(&alice, "web", &[]);
    let shop = site.serve(&bob, "shop", &[]);
    alice.podman(["exec", "web", "ping", "-6", "-c1", "-W2", &shop]);
    let page = bob.podman(["exec", "shop", "wget", "-qO-", &format!("http://[{web}]:8080/")]);
    assert_eq!(page.text(), "hello from a container");
    alice.podman(["rm", "-f", "web"]);
    bob.podman(["rm", "-f", "shop"]);
    site.nothing_is_left();
    Seen::Works
}

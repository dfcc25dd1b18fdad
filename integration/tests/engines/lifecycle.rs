//! Whatever podman does to a container, its address and its name do what a user expects; the same for each
//! podman and each way.

use v6pod_integration::{User, eventually};

use crate::site::{SOON, Site};

/// Each function as a test for each way.
macro_rules! tests {
    ($($name:ident)*) => {
        tests!(@ wrapper_of_debian_11, WRAPPER_11, $($name)*);
        tests!(@ wrapper_of_debian_13, WRAPPER_13, $($name)*);
        tests!(@ plugin_of_debian_13, PLUGIN_13, $($name)*);
    };
    (@ $module:ident, $way:ident, $($name:ident)*) => {
        mod $module {
            use crate::site::{Site, Way};
            $(#[test]
            fn $name() {
                super::$name(&Site::new(Way::$way));
            })*
        }
    };
}

tests! {
    run_stop_start_rm
    restart
    rm_of_a_running_container
    a_container_that_is_removed_when_it_ends
    a_pod
    keep_id
    kill_9_of_conmon
    two_users
}

fn run_stop_start_rm(site: &Site) {
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
}

fn restart(site: &Site) {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    for _ in 0..3 {
        alice.podman(["restart", "-t", "0", "web"]);
        assert_eq!(site.addresses(&alice, "web"), [address.as_str()]);
        site.is_served("web", &address);
        assert_eq!(site.attachments().len(), 1);
    }
}

fn rm_of_a_running_container(site: &Site) {
    let alice = site.alice();
    site.serve(&alice, "web", &[]);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
}

fn a_container_that_is_removed_when_it_ends(site: &Site) {
    let alice = site.alice();
    let address = site.serve(&alice, "gone", &["--rm"]);
    site.is_served("gone", &address);
    alice.podman(["stop", "-t", "0", "gone"]);
    site.nothing_is_left();
}

fn a_pod(site: &Site) {
    let alice = site.alice();
    alice.podman(["pod", "create", "--name", "shop"].iter().chain(site.options()));
    let server = ["busybox", "httpd", "-f", "-p", "[::]:8080", "-h", "/var/www"];
    alice.podman(["run", "-d", "--pod", "shop", "--name", "front"].iter().chain(&server));
    alice.podman(["run", "-d", "--pod", "shop", "--name", "back", "busybox", "sleep", "1000"]);
    let address = site.address(&alice, "front");
    assert_eq!(site.address(&alice, "back"), address);
    let attachments = site.attachments();
    assert_eq!(attachments.len(), 1, "the pod's, and none for each container");
    let name = attachments[0]["name"].as_str().expect("a name");
    if site.way.is_plugin {
        assert_eq!(name, "shop");
    } else {
        assert!(name.ends_with("-infra"), "{name}");
    }
    site.is_served(name, &address);
    alice.podman(["pod", "rm", "-f", "shop"]);
    site.nothing_is_left();
}

fn keep_id(site: &Site) {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &["--userns=keep-id"]);
    site.is_served("web", &address);
    alice.podman(["restart", "-t", "0", "web"]);
    assert_eq!(site.address(&alice, "web"), address);
    alice.podman(["rm", "-f", "web"]);
    site.nothing_is_left();
}

fn kill_9_of_conmon(site: &Site) {
    let alice = site.alice();
    let address = site.serve(&alice, "web", &[]);
    let pid = alice.container_pid("web");
    let conmon = site.host.run(["ps", "-o", "ppid=", "-p", &pid.to_string()]).text().trim().to_owned();
    site.host.run(["kill", "-9", &conmon]);
    if site.way.is_plugin {
        // The container lives on, and so does its namespace.
        site.is_served("web", &address);
    } else {
        // slirp4netns ends with conmon, and the lease with slirp4netns.
        site.nothing_is_left();
    }
    removed_somehow(&alice, "web");
    site.nothing_is_left();
    assert_eq!(site.serve(&alice, "web", &[]), address);
}

/// podman 3 fails to remove such a container at first, and says why.
fn removed_somehow(user: &User, container: &str) {
    eventually(SOON * 10, || {
        let tried = user.try_podman(["rm", "-f", container]);
        let left = user.podman(["ps", "-aq"]);
        if left.text().is_empty() { Ok(()) } else { Err(tried.to_string()) }
    });
}

fn two_users(site: &Site) {
    let (alice, bob) = (site.alice(), site.bob());
    let web = site.serve(&alice, "web", &[]);
    let shop = site.serve(&bob, "shop", &[]);
    alice.podman(["exec", "web", "ping", "-6", "-c1", "-W2", &shop]);
    let page = bob.podman(["exec", "shop", "wget", "-qO-", &format!("http://[{web}]:8080/")]);
    assert_eq!(page.text(), "hello from a container");
    alice.podman(["rm", "-f", "web"]);
    bob.podman(["rm", "-f", "shop"]);
    site.nothing_is_left();
}

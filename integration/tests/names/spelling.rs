//! Names that clash, and names that DNS does not know how to spell.

use v6pod_integration::{Host, LATER, User, eventually};

use crate::site::{Site, address, run, stop};

/// What v6pod said in the log of the user's only slirp4netns. Podman has removed the file, but it is still
/// open as its standard error.
fn said(host: &Host, user: &User) -> Vec<String> {
    let found = host.run(["pgrep", "-x", "-u", &user.uid().to_string(), "slirp4netns"]);
    assert_eq!(found.stdout.lines().count(), 1, "{found}");
    let log = host.run(["cat", &format!("/proc/{}/fd/2", found.text())]);
    log.stdout.lines().filter(|line| line.starts_with("v6pod: ")).map(str::to_owned).collect()
}

/// The name that the daemon's list has for the container of this address.
fn listed(site: &Site, address: &str) -> serde_json::Value {
    let list = site.call("v6pod.v1.Attachments/List");
    let all = list["attachments"].as_array().expect("a list");
    let found = all.iter().find(|attachment| attachment["address"] == address);
    found.unwrap_or_else(|| panic!("{address} is not in {list:#}"))["name"].clone()
}

#[test]
fn the_first_of_two_users_keeps_a_name() {
    let site = Site::new(&["alice", "bob"]);
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let first = site.start(&alice, "web");
    run(&bob, "web");
    let second = address(&bob, "web");
    assert_ne!(first, second);
    assert_eq!((listed(&site, &first), listed(&site, &second)), ("web".into(), "".into()));
    assert!(said(&site.host, &alice).is_empty());
    let lines = said(&site.host, &bob);
    assert!(
        matches!(lines.as_slice(), [line] if line.contains(&second) && line.contains("the name web is taken")),
        "{lines:?}"
    );
    let both_are_right = || {
        site.in_dns("web", &first).and_then(|()| site.in_consul("web", &first))?;
        let reverse = site.dns(&["-x", &second]);
        if reverse.is_absent() { Ok(()) } else { Err(format!("{second}: {reverse}")) }
    };
    assert_eq!(both_are_right(), Ok(()));

    // The end of the second one does not take the name of the first.
    stop(&bob, "web");
    assert_eq!(both_are_right(), Ok(()));
    // Once the first has ended, the name is free.
    stop(&alice, "web");
    site.ends("web", &first);
    bob.podman(["start", "web"]);
    let second = address(&bob, "web");
    eventually(LATER, || site.in_dns("web", &second).and_then(|()| site.in_consul("web", &second)));
    assert!(said(&site.host, &bob).is_empty());
}

#[test]
fn upper_case_and_underscores_become_a_label() {
    let site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    run(&alice, "My_Web.Server_2");
    let address = address(&alice, "My_Web.Server_2");
    eventually(LATER, || {
        site.in_dns("my-web-server-2", &address).and_then(|()| site.in_consul("my-web-server-2", &address))
    });
    assert!(site.dns(&["MY-Web-Server-2.V6POD", "AAAA"]).is(&address));
    assert!(site.asked_consul("MY-Web-Server-2").is(&address));
    assert!(said(&site.host, &alice).is_empty());
    stop(&alice, "My_Web.Server_2");
    site.ends("my-web-server-2", &address);
}

#[test]
fn what_is_no_label_has_an_address_and_no_name() {
    let site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    for name in ["web-", "web_", &"x".repeat(64)] {
        run(&alice, name);
        assert_eq!(listed(&site, &address(&alice, name)), "");
        let lines = said(&site.host, &alice);
        assert!(matches!(lines.as_slice(), [line] if line.contains("no name: the name")), "{lines:?}");
        alice.podman(["rm", "-f", "-t", "0", name]);
    }
    let longest = "x".repeat(63);
    site.start(&alice, &longest);
    assert!(said(&site.host, &alice).is_empty());
}

#[test]
fn names_that_differ_only_in_spelling_clash() {
    let site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let first = site.start(&alice, "a-b");
    run(&alice, "A_b");
    assert_eq!(listed(&site, &address(&alice, "A_b")), "");
    assert_eq!(site.in_dns("a-b", &first), Ok(()));
    assert_eq!(site.in_consul("a-b", &first), Ok(()));
}

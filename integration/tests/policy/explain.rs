//! `v6pod can-i`, against the real daemon.

use serde_json::Value;
use v6pod_integration::{Host, Output, User};

use crate::site::{FIRST, Site, at, named, own};

const RULES: &str = "[[rule]]\nusers = [\"alice\"]\nattachments = 2\naddresses = 9\nrate = 60\nburst = 10\n\
                     names = [\"{user}-*\"]\n";

fn can_i(user: &User, more: &[&str]) -> Output {
    user.try_run([&["v6pod", "can-i"], more].concat())
}

fn lines(output: &Output) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(':').expect("a pair");
        (key.to_owned(), value.trim().to_owned())
    };
    output.stdout.lines().map(pair).collect()
}

fn value(output: &Output, key: &str) -> String {
    let found = lines(output).into_iter().find(|(found, _)| found == key);
    found.unwrap_or_else(|| panic!("no {key}\n{output}")).1
}

#[test]
fn people_are_told_the_rule_and_what_is_left() {
    let site = Site::new(RULES);
    let (one, two, three) = (own(&site.alice), own(&site.alice), own(&site.alice));
    let before = can_i(&site.alice, &["--name", "alice-web"]);
    assert_eq!(before.status.code(), Some(0), "{before}");
    for (key, expected) in [
        ("allowed", "yes".to_owned()),
        ("user", format!("alice (uid {})", site.alice.uid())),
        ("rule", at(FIRST)),
        ("network", "default".to_owned()),
        ("name", "alice-web".to_owned()),
        ("attachments", "2 of 2 left".to_owned()),
        ("addresses", "9 of 9 left".to_owned()),
        ("activations", "10 of 10 left".to_owned()),
    ] {
        assert_eq!(value(&before, key), expected, "{before}");
    }
    let name = can_i(&site.alice, &["--name", "db"]);
    assert_eq!(name.status.code(), Some(1), "{name}");
    assert!(value(&name, "allowed").starts_with("no: you may not use the name db"), "{name}");
    assert_eq!((value(&name, "rule"), value(&name, "attachments")), (at(FIRST), "2 of 2 left".to_owned()));

    site.attach(&site.alice, &one.1, named("alice-web"));
    site.attach(&site.alice, &two.1, ());
    let full = can_i(&site.alice, &[]);
    assert_eq!((full.status.code(), value(&full, "attachments").as_str()), (Some(1), "0 of 2 left"));
    // What it says comes true, in the same words.
    let refusal = site.activate(site.alice.uid(), &three.1, ()).expect_err("it is full");
    let said = value(&full, "allowed");
    assert!(refusal.message().starts_with(said.strip_prefix("no: ").expect("a reason")), "{refusal}\n{full}");

    let bobs = can_i(&site.bob, &[]);
    assert_eq!(
        (value(&bobs, "rule").as_str(), value(&bobs, "attachments").as_str()),
        ("default", "64 of 64 left")
    );
    let taken = can_i(&site.bob, &["--name", "alice-web"]);
    assert!(value(&taken, "allowed").contains("the name alice-web is taken"), "{taken}");
}

#[test]
fn scripts_get_a_code_and_json() {
    let site = Site::new(RULES);
    let json = |output: &Output| -> Value { serde_json::from_str(&output.stdout).expect("JSON") };
    let allowed = can_i(&site.alice, &["--json"]);
    let told = json(&allowed);
    assert_eq!(
        (allowed.status.code(), &told["allowed"], &told["rule"]),
        (Some(0), &true.into(), &at(FIRST).into())
    );
    assert_eq!(
        told["activations"],
        serde_json::json!({"unlimited": false, "limit": 10, "used": 0, "left": 10})
    );
    let absent = can_i(&site.alice, &["--network", "none", "--json"]);
    assert_eq!((absent.status.code(), &json(&absent)["allowed"]), (Some(1), &false.into()), "{absent}");
    let outside = can_i(&site.alice, &["--address", "2001:db8:1::200:0:7"]);
    assert!(value(&outside, "allowed").contains("does not allow fixed addresses"), "{outside}");
    let wrong = can_i(&site.alice, &["--name", "a b"]);
    assert!(wrong.status.code() == Some(1) && wrong.stdout.is_empty() && !wrong.stderr.is_empty(), "{wrong}");
}

#[test]
fn administrators_ask_about_others() {
    let site = Site::new(RULES);
    for about in ["alice", &site.alice.uid().to_string()] {
        let told = site.host.run(["v6pod", "can-i", "--user", about, "--name", "alice-db"]);
        assert_eq!((value(&told, "allowed"), value(&told, "rule")), ("yes".to_owned(), at(FIRST)), "{told}");
    }
    let root = site.host.run(["v6pod", "can-i"]);
    assert_eq!(
        (value(&root, "rule").as_str(), value(&root, "attachments").as_str()),
        ("root", "unlimited, 0 used")
    );
    let denied = can_i(&site.alice, &["--user", "bob"]);
    assert!(denied.status.code() == Some(1) && denied.stderr.contains("only administrators"), "{denied}");
    assert_eq!(can_i(&site.alice, &["--user", "alice"]).status.code(), Some(0));
    let nobody = site.host.try_run(["v6pod", "can-i", "--user", "eve"]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody}");
}

/// The manual's own example, and what it says that comes of it.
#[test]
fn the_manual_is_true() {
    let manual = include_str!("../../../docs/policy.md");
    let block =
        |after: &str| manual.split(after).nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let host = Host::builder("one").user("alice").user("bob").user("carol").without_wrapper().build();
    host.sh("printf 'students:x:990:alice\n' >>/etc/group; usermod -a -G staff carol");
    let _daemon = host.daemon(block("```toml\n"));
    let alice = host.user("alice");
    let shown = block("$ v6pod can-i --name db\n").replace("1001", &alice.uid().to_string());
    assert_eq!(can_i(&alice, &["--name", "db"]).stdout, shown);
    for (user, network, allowed) in [
        ("alice", "lab", "no: there is no network lab: v6pod status lists those there are"),
        ("bob", "lab", "no: there is no network lab: v6pod status lists those there are"),
        ("carol", "lab", "yes"),
        ("bob", "default", "yes"),
    ] {
        let told = can_i(&host.user(user), &["--network", network]);
        assert_eq!(value(&told, "allowed"), allowed, "{user} {told}");
    }
    assert_eq!(value(&can_i(&alice, &["--name", "web"]), "reserved address"), "2001:db8:1:2:3:0:200:5");
    let told = can_i(&alice, &["--name", "alice-web"]);
    assert!(value(&told, "own prefix").starts_with("2001:db8:1:2:3:a"), "{told}");
    let web = can_i(&host.user("bob"), &["--name", "web"]);
    // It is alice's; others get a suffix.
    assert_eq!((value(&web, "allowed").as_str(), value(&web, "name").as_str()), ("yes", "web-2"));
    let told = can_i(&host.user("bob"), &["--name", "mail-prod"]);
    assert_eq!(
        (value(&told, "allowed").as_str(), value(&told, "rule")),
        ("no: the name mail-prod is reserved", at(1))
    );
}

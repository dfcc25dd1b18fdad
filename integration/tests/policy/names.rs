//! Names and addresses: whose they may be, and what becomes of those that are taken.

use std::net::Ipv6Addr;

use tonic::Code;
use v6pod_integration::{Host, LATER, eventually};
use v6pod_proto::v1::{ActivateRequest, ExplainRequest};

use crate::site::{FIRST, NETWORKS, Site, at, named, on, own, refused};

/// The addresses of a name, as the built-in DNS has them.
fn resolve(host: &Host, name: &str) -> Vec<String> {
    let answer = host.run(["dig", "+short", "@2001:db8:1::1", &format!("{name}.v6pod"), "AAAA"]);
    let mut addresses: Vec<_> = answer.stdout.lines().map(str::to_owned).collect();
    addresses.sort();
    addresses
}

#[test]
fn case_21_a_name_that_is_reserved_is_as_taken_as_one_that_is_in_use() {
    let site = Site::new(
        "[[reservation]]\nnetwork = \"default\"\nuser = \"bob\"\nname = \"kept\"\naddress = \"2001:db8:1::200:0:5\"\n",
    );
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let bobs = site.attach(&site.bob, &bob.1, named("used"));
    let uid = site.alice.uid();
    let ask = |request| site.activate(uid, &alice.1, request);
    let used = refused(ask(named("used")), Code::AlreadyExists, &["the name used is taken"]);
    let kept = refused(ask(named("KEPT")), Code::AlreadyExists, &["the name kept is taken"]);
    assert_eq!(used.message().replace("used", "kept"), kept.message());
    for secret in [&site.bob.uid().to_string(), "bob", &bobs.id, &bobs.address, "200:0:5"] {
        assert!(!kept.message().contains(secret) && !used.message().contains(secret), "{secret}");
    }
    let aliases =
        |name: &str| ActivateRequest { aliases: vec![name.to_owned()], ..ActivateRequest::default() };
    refused(ask(aliases("kept")), Code::AlreadyExists, &["the name kept is taken"]);
    // Nor is Explain of more use to a spy.
    let explain = |name: &str| {
        let request = ExplainRequest { name: name.to_owned(), ..ExplainRequest::default() };
        let told = site.explain(uid, request).expect("everybody may ask");
        (told.allowed, told.reason.replace(name, "NAME"), told.reserved_address)
    };
    assert_eq!((explain("used"), explain("free").0), (explain("kept"), true));
}

#[test]
fn a_reservation_outlives_its_container() {
    let reserved = "2001:db8:1::200:0:5";
    let mut site = Site::with(&format!(
        "{}[[rule]]\nusers = [\"bob\"]\nstatic = false\n[[reservation]]\nnetwork = \"default\"\nuser = \"alice\"\n\
         name = \"web\"\naddress = \"{reserved}\"\n",
        NETWORKS.replace("default = true\n", "default = true\nallow_static = true\nrest = 0\n")
    ));
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let thief = own(&site.host.user("alice"));
    let fixed = |name: &str| ActivateRequest { address: reserved.to_owned(), ..named(name) };
    for round in 0..3 {
        let web = site.attach(&site.alice, &alice.1, named("web"));
        assert_eq!((web.address.as_str(), resolve(&site.host, "web")), (reserved, vec![reserved.to_owned()]));
        site.client(site.alice.uid(), &[]).deactivate(&web.id).expect("it is alice's");
        // While it is free, nobody else gets it: not bob, who may not choose, and no other name of alice's.
        refused(
            site.activate(site.bob.uid(), &bob.1, fixed("db")),
            Code::PermissionDenied,
            &[&at(FIRST + 2)],
        );
        for other in ["", "db"] {
            let outcome = site.activate(site.alice.uid(), &thief.1, fixed(other));
            refused(outcome, Code::AlreadyExists, &["the address 2001:db8:1::200:0:5 is taken"]);
        }
        match round {
            0 => site.daemon.restart(),
            _ => site.kill_and_restart(),
        }
    }
    // Root itself does not take it by chance or by choice.
    let outcome = site.activate(0, &thief.1, fixed(""));
    refused(outcome, Code::AlreadyExists, &["is taken"]);
    let told =
        site.explain(site.alice.uid(), ExplainRequest { name: "web".into(), ..ExplainRequest::default() });
    assert_eq!(told.expect("everybody may ask").reserved_address, reserved);
}

#[test]
fn names_outside_the_pattern_are_refused_however_they_are_spelt() {
    let site = Site::with(&format!(
        "reserved_names = [\"gateway\"]\n{NETWORKS}[[rule]]\nusers = [\"alice\"]\nnames = [\"{{user}}-*\"]\n"
    ));
    let alice = own(&site.alice);
    let ask = |request| site.activate(site.alice.uid(), &alice.1, request);
    let rule = at(FIRST + 1);
    let aliases = |name: &str| ActivateRequest { aliases: vec![name.to_owned()], ..named("alice-web") };
    for name in ["bob-web", "web", "alice", "alice_web-", "ALICE.", "xalice-web", "alice--", "alice-\u{130}"]
    {
        let status = ask(named(name)).expect_err(name);
        let is_no_label = status.code() == Code::InvalidArgument;
        assert!(
            is_no_label || status.code() == Code::PermissionDenied && status.message().contains(&rule),
            "{status}"
        );
    }
    refused(ask(named("gateway")), Code::PermissionDenied, &["the name gateway is reserved", &at(1)]);
    refused(ask(aliases("web")), Code::PermissionDenied, &["the name web: yours have to fit alice-*", &rule]);
    refused(ask(aliases("Gateway")), Code::PermissionDenied, &["the name gateway is reserved"]);
    assert!(site.all().is_empty());
    let attached = site.attach(&site.alice, &alice.1, ());
    // Nor by naming what is attached already.
    refused(ask(named("bob-web")), Code::PermissionDenied, &[&rule]);
    let named = ask(named("Alice_Web")).expect("it fits").attachment.expect("the answer holds it");
    assert_eq!((named.id, named.name.as_str()), (attached.id, "alice-web"));
}

#[test]
fn taken_names_get_a_suffix_where_the_site_says_so() {
    let site = Site::with(&format!(
        "collision = \"suffix\"\nreserved_names = [\"web-3\"]\n{NETWORKS}[[rule]]\nusers = [\"bob\"]\nnames = [\"web\"]\n"
    ));
    let holders: Vec<_> = (0..4).map(|_| own(&site.alice)).collect();
    let bob = own(&site.bob);
    let name = |index: usize| site.attach(&site.alice, &holders[index].1, named("web"));
    let names: Vec<_> = (0..3).map(|index| name(index).name).collect();
    // Number 3 is reserved.
    assert_eq!(names, ["web", "web-2", "web-4"]);
    assert_eq!(resolve(&site.host, "web-4"), [site.all()[2].address.clone()]);
    let long = "x".repeat(63);
    let first = site.attach(&site.alice, &holders[3].1, named(&long));
    site.client(site.alice.uid(), &[]).deactivate(&first.id).expect("it is alice's");
    // Bob may be called web and nothing else: no suffix would do.
    let outcome = site.activate(site.bob.uid(), &bob.1, named("web"));
    refused(outcome, Code::AlreadyExists, &["the name web is taken"]);
    let told = |uid| {
        let request = ExplainRequest { name: "web".into(), ..ExplainRequest::default() };
        site.explain(uid, request).expect("everybody may ask")
    };
    assert_eq!((told(site.alice.uid()).name, told(site.bob.uid()).allowed), ("web-5".to_owned(), false));
}

#[test]
fn names_are_shared_where_both_networks_say_so() {
    let networks = NETWORKS.replace("default = true\n", "default = true\ncollision = \"share\"\n");
    let site = Site::with(&networks);
    let (alice, bob, third) = (own(&site.alice), own(&site.bob), own(&site.bob));
    let one = site.attach(&site.alice, &alice.1, named("web"));
    let two = site.attach(&site.bob, &bob.1, named("web"));
    let mut both = vec![one.address, two.address.clone()];
    both.sort();
    assert_eq!(resolve(&site.host, "web"), both);
    // The other network does not share: what is in use here is taken there.
    let there = ActivateRequest { name: "web".to_owned(), ..on("other") };
    let outcome = site.activate(site.bob.uid(), &third.1, there);
    refused(outcome, Code::AlreadyExists, &["the name web is taken"]);
    let there = ActivateRequest { name: "db".to_owned(), ..on("other") };
    site.attach(&site.bob, &third.1, there);
    site.client(site.bob.uid(), &[]).deactivate(&two.id).expect("it is bob's");
    let outcome = site.activate(site.alice.uid(), &own(&site.alice).1, named("db"));
    refused(outcome, Code::AlreadyExists, &["the name db is taken"]);
    assert_eq!(resolve(&site.host, "web").len(), 1);
    drop(alice);
    eventually(LATER, || if resolve(&site.host, "web").is_empty() { Ok(()) } else { Err("still there") });
}

#[test]
fn a_users_addresses_lie_in_one_prefix_and_nobody_elses_do() {
    let configuration = NETWORKS.replace("default = true\n", "default = true\nallow_static = true\n");
    let site = Site::with(&format!("{configuration}[[rule]]\nusers = [\"alice\"]\nsub_prefix = true\n"));
    let (alice, bob) = (site.namespaces(&site.alice, 10), own(&site.bob));
    let told = site.told(site.alice.uid());
    let (network, length) = told.own_prefix.split_once('/').expect("a prefix");
    // The test users' uids have seven digits.
    assert_eq!(length, "120");
    let network: Ipv6Addr = network.parse().expect("an address");
    let is_alices = |address: &str| {
        address.parse::<Ipv6Addr>().expect("an address").to_bits() >> 8 == network.to_bits() >> 8
    };
    for net in &alice[..9] {
        assert!(is_alices(&site.attach(&site.alice, net, ()).address));
    }
    let at = |address: u128| ActivateRequest {
        address: Ipv6Addr::from_bits(address).to_string(),
        ..ActivateRequest::default()
    };
    let outside = site.activate(site.alice.uid(), &alice[9], at(network.to_bits() + 0x1_0000));
    refused(outside, Code::InvalidArgument, &["is not within", &told.own_prefix]);
    let inside = site.activate(site.bob.uid(), &bob.1, at(network.to_bits() + 0xff));
    refused(inside, Code::InvalidArgument, &["it lies in a prefix of a user's own"]);
    site.attach(&site.alice, &alice[9], at(network.to_bits() + 0xff));
    let bobs = site.attach(&site.bob, &bob.1, ());
    assert!(!is_alices(&bobs.address), "{bobs:?}");
    assert!(site.told(site.bob.uid()).own_prefix.is_empty());
}

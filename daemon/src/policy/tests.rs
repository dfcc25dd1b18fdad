//! What the rules decide, from the text of a configuration.

use proptest::prelude::*;
use serde::Deserialize;
use toml::Spanned;

use super::*;
use crate::{
    config::Config,
    ipam::Space,
    model::{Ports, Protocol},
};

const NETWORKS: &str = "[network.one]\nprefix = \"2001:db8:1::/80\"\n[network.two]\nprefix = \"2001:db8:2::/80\"\n\
                        allow_static = true\naddresses = \"owner\"\ncollision = \"share\"\n";

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    rule: Vec<Spanned<RawRule>>,
    reservation: Vec<Spanned<RawReservation>>,
    reserved_names: Vec<Spanned<String>>,
    collision: Collision,
}

fn check(text: &str) -> Result<Policy, Vec<String>> {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let raw = Raw {
        rules: file.rule,
        reservations: file.reservation,
        reserved_names: file.reserved_names,
        collision: file.collision,
        policy: RawPolicy::default(),
    };
    let networks = Config::parse(NETWORKS, "n".as_ref()).unwrap().networks;
    let directory = Directory {
        uid: |name| {
            ["root", "alice", "bob"].iter().position(|known| *known == name).map(|at| [0, 1001, 1002][at])
        },
        gid: |name| (name == "staff").then_some(50),
    };
    let mut reasons = Vec::new();
    let with = Check { text, path: "p.toml".as_ref(), networks: &networks, directory, reasons: &mut reasons };
    let policy = Policy::check(&raw, with);
    if reasons.is_empty() { Ok(policy) } else { Err(reasons) }
}

fn policy(text: &str) -> Policy {
    check(text).unwrap_or_else(|reasons| panic!("{reasons:?}"))
}

fn user(uid: u32) -> Subject {
    Subject { uid, account: uid, groups: vec![uid], user: Some("alice".to_owned()), admin: uid == 0 }
}

fn under(uid: u32, account: u32) -> Subject {
    Subject { account, ..user(uid) }
}

fn on(network: &str) -> NetworkName {
    network.parse().unwrap()
}

/// What comes of asking for this, in words: the line that allows it, or a refusal.
fn told(policy: &Policy, subject: &Subject, network: &str, name: &str, address: &str) -> String {
    let request = ActivateRequest {
        network: network.to_owned(),
        name: name.to_owned(),
        address: address.to_owned(),
        ..ActivateRequest::default()
    };
    match policy.judge(subject, &Wish::check(&request).unwrap().asked(&on("one"))) {
        Ok(ruling) => ruling.rule.origin.to_string(),
        Err(Denial::NoNetwork(name)) => format!("no {name}"),
        Err(Denial::Refused(refusal)) => refusal.to_string(),
    }
}

fn tcp(first: u16, last: u16) -> Ports {
    Ports { protocol: Protocol::Tcp, first, last }
}

#[test]
fn without_rules_everybody_may_within_sane_limits() {
    let policy = policy("");
    assert_eq!(told(&policy, &user(7), "two", "web", ""), "default");
    let limits = &policy.rule(&user(7), &on("one")).limits;
    assert_eq!((limits.attachments, limits.rate), (Some(64), Some(Rate { per_minute: 120, burst: 120 })));
    assert!(limits.may_open(&tcp(1, u16::MAX)));
    assert_eq!(told(&policy, &user(0), "", "web", ""), "root");
    assert_eq!(policy.rule(&user(0), &on("one")).limits, Limits::none());
    // A container of root's is not root, though root is who it is charged to.
    assert_eq!(told(&policy, &under(100_000, 0), "", "", ""), "default");
}

#[test]
fn the_first_rule_that_fits_decides() {
    let policy = policy(
        "[[rule]]\nusers = [\"alice\"]\nnetworks = [\"two\"]\nallow = false\n\
         [[rule]]\nusers = [\"alice\", 1002]\n\
         [[rule]]\ngroups = [\"staff\", 60]\nattachments = 5\n\
         [[rule]]\nusers = [\"2000-2999\", \"3000\"]\n\
         [[rule]]\nallow = false\n",
    );
    let grouped = |group| Subject { groups: vec![9, group], ..user(4000) };
    for (subject, network, expected) in [
        (user(1001), "two", "no two"),
        (user(1001), "one", "p.toml:5"),
        (user(1001), "", "p.toml:5"),
        (user(1002), "two", "p.toml:5"),
        (grouped(50), "", "p.toml:7"),
        (grouped(60), "", "p.toml:7"),
        (grouped(61), "", "you may not attach here (rule: p.toml:12)"),
        (user(2000), "", "p.toml:10"),
        (user(2999), "", "p.toml:10"),
        (user(3000), "", "p.toml:10"),
        (user(1999), "one", "no one"),
        (user(1999), "three", "no three"),
        (user(0), "two", "root"),
        // A subordinate uid is under its owner's rules, and cannot slip from under them.
        (under(165_000, 1001), "two", "no two"),
        (under(165_000, 1001), "one", "p.toml:5"),
        (under(2500, 1001), "two", "no two"),
        // But root's rules are root's own.
        (under(165_000, 0), "one", "no one"),
    ] {
        assert_eq!(told(&policy, &subject, network, "", ""), expected, "{subject:?} {network}");
    }
}

#[test]
fn a_forbidden_network_is_there_for_administrators_only() {
    let policy = policy("[[rule]]\nnetworks = [\"two\"]\nallow = false\n");
    let admin = Subject { admin: true, ..user(7) };
    assert_eq!(told(&policy, &user(7), "two", "", ""), "no two");
    assert_eq!(told(&policy, &admin, "two", "", ""), "you may not attach here (rule: p.toml:1)");
    for (subject, network, shown) in [
        (&user(7), "one", true),
        (&user(7), "two", false),
        (&admin, "two", true),
        (&user(0), "two", true),
        (&admin, "three", false),
    ] {
        assert_eq!(policy.shows(subject, &on(network)), shown, "{subject:?} {network}");
    }
}

#[test]
fn names_are_those_that_the_rule_allows() {
    let policy = policy(
        "reserved_names = [\n  \"gateway\",\n  \"ns*\",\n]\n\
         [[rule]]\nusers = [1001]\nnames = [\"{user}-*\", \"web\"]\n\
         [[rule]]\nusers = [1003]\nnames = []\n\
         [[reservation]]\nnetwork = \"one\"\nuser = \"bob\"\nname = \"ns1\"\naddress = \"2001:db8:1::5\"\n",
    );
    let wanted = "yours have to fit alice-* or web (rule: p.toml:5)";
    for (uid, name, expected) in [
        (1001, "alice-db", "p.toml:5".to_owned()),
        (1001, "web", "p.toml:5".to_owned()),
        (1001, "", "p.toml:5".to_owned()),
        (1001, "db", format!("you may not use the name db: {wanted}")),
        (1001, "gateway", "the name gateway is reserved (rule: p.toml:2)".to_owned()),
        (7, "ns7", "the name ns7 is reserved (rule: p.toml:3)".to_owned()),
        (7, "gateway2", "default".to_owned()),
        (
            1003,
            "web",
            "you may not use the name web: yours have to fit no pattern (rule: p.toml:8)".to_owned(),
        ),
        (1003, "", "p.toml:8".to_owned()),
        // Reserved for nobody but bob.
        (1002, "ns1", "default".to_owned()),
        (7, "ns1", "the name ns1 is reserved (rule: p.toml:3)".to_owned()),
        (0, "gateway", "root".to_owned()),
    ] {
        assert_eq!(told(&policy, &user(uid), "", name, ""), expected, "{uid} {name:?}");
    }
    let aliased =
        ActivateRequest { aliases: vec!["x".into(), "GateWay".into()], ..ActivateRequest::default() };
    let outcome = policy.judge(&user(7), &Wish::check(&aliased).unwrap().asked(&on("one")));
    assert!(matches!(outcome, Err(Denial::Refused(refusal)) if refusal.to_string().contains("gateway")));
    assert!(policy.asks_who());
}

#[test]
fn addresses_and_what_becomes_of_names() {
    let policy = policy(
        "collision = \"suffix\"\n\
         [[rule]]\nusers = [1]\nstatic = false\n\
         [[rule]]\nusers = [2]\nstatic = true\nsub_prefix = true\n",
    );
    let ask = |uid, network: &str| {
        let request = ActivateRequest { network: network.to_owned(), ..ActivateRequest::default() };
        let ruling = policy.judge(&user(uid), &Wish::check(&request).unwrap().asked(&on("one"))).unwrap();
        (ruling.fixed, ruling.space, ruling.collision)
    };
    assert_eq!(ask(1, "one"), (false, Space::Common, Collision::Suffix));
    assert_eq!(ask(2, "one"), (true, Space::Own(2), Collision::Suffix));
    assert_eq!(ask(3, "one"), (false, Space::Common, Collision::Suffix));
    assert_eq!(ask(3, "two"), (true, Space::Own(3), Collision::Share));
    assert_eq!(ask(0, "two"), (true, Space::Whole, Collision::Share));
    let forbidden = "you may not choose an address (rule: p.toml:2)";
    assert_eq!(told(&policy, &user(1), "two", "", "2001:db8:2::5"), forbidden);
    let by_mac = ActivateRequest { mac: "02:00:00:00:00:05".into(), ..ActivateRequest::default() };
    assert!(policy.judge(&user(1), &Wish::check(&by_mac).unwrap().asked(&on("two"))).is_err());
    let whole = Policy::new(policy.networks.clone());
    assert_eq!(
        whole
            .judge(&user(3), &Wish::check(&ActivateRequest::default()).unwrap().asked(&on("one")))
            .unwrap()
            .space,
        Space::Whole
    );
}

#[test]
fn a_reservation_is_for_one_user_and_name() {
    let policy = policy(
        "[[rule]]\nstatic = false\n\
         [[reservation]]\nnetwork = \"one\"\nuser = \"alice\"\nname = \"web\"\naddress = \"2001:db8:1::5\"\n",
    );
    let reserved = |subject: &Subject, network: &str, name: &str| {
        let request = ActivateRequest {
            network: network.to_owned(),
            name: name.to_owned(),
            ..ActivateRequest::default()
        };
        let wish = Wish::check(&request).unwrap();
        let ruling = policy.judge(subject, &wish.asked(&on("one"))).unwrap();
        ruling.reservation.map(|address| address.to_string())
    };
    let address = Some("2001:db8:1::5".to_owned());
    assert_eq!(reserved(&user(1001), "", "web"), address);
    assert_eq!(reserved(&under(100_001, 1001), "one", "WEB"), address);
    for (uid, network, name) in [(1001, "two", "web"), (1001, "", "db"), (1001, "", ""), (1002, "", "web")] {
        assert_eq!(reserved(&user(uid), network, name), None, "{uid} {network} {name}");
    }
    let name = "web".parse().unwrap();
    let anothers = [1001, 1002, 0].map(|uid| policy.is_anothers(&user(uid), &name));
    assert_eq!(anothers, [false, true, true]);
    // Asking for what is reserved is not choosing.
    assert_eq!(told(&policy, &user(1001), "", "web", "2001:db8:1::5"), "p.toml:1");
    assert_ne!(told(&policy, &user(1001), "", "web", "2001:db8:1::6"), "p.toml:1");
    assert_ne!(told(&policy, &user(1001), "", "db", "2001:db8:1::5"), "p.toml:1");
}

#[test]
fn limits_are_what_is_written() {
    let policy = policy(
        "[[rule]]\nusers = [1]\nattachments = 3\naddresses = 2\nrate = 10\nports = [80, \"443\", \"8000-8999\"]\n\
         [[rule]]\nusers = [2]\nattachments = \"unlimited\"\nrate = \"unlimited\"\nports = []\n\
         [[rule]]\nusers = [3]\nburst = 5\n",
    );
    let limits = |uid| policy.rule(&user(uid), &on("one")).limits.clone();
    assert_eq!((limits(1).attachments, limits(1).addresses), (Some(3), Some(2)));
    assert_eq!(limits(1).rate, Some(Rate { per_minute: 10, burst: 10 }));
    let open: Vec<u16> = (0..=u16::MAX).filter(|port| limits(1).may_open(&tcp(*port, *port))).collect();
    assert_eq!((open.len(), open[0], open[1], open[2]), (1002, 80, 443, 8000));
    assert_eq!((limits(2).attachments, limits(2).addresses, limits(2).rate), (None, None, None));
    assert!(!limits(2).may_open(&tcp(80, 80)));
    let inbound =
        |uid, asked: &str| limits(uid).inbound(Some(&asked.parse().unwrap())).map(|to| to.to_string());
    assert_eq!(limits(1).inbound(None), Ok(Inbound::Established), "nothing is open before it is opened");
    assert_eq!(limits(3).inbound(None), Ok(Inbound::Open));
    assert_eq!(inbound(1, "443/tcp,8000-8010/udp"), Ok("443/tcp,8000-8010/udp".to_owned()));
    assert_eq!(inbound(1, "443/tcp,444/tcp"), Err(Why::Ports("444/tcp".parse().unwrap())));
    assert_eq!(inbound(1, "8990-9001/tcp"), Err(Why::Ports("8990-9001/tcp".parse().unwrap())));
    assert_eq!(inbound(1, "open"), Err(Why::Ports(Inbound::Open)));
    assert_eq!(inbound(2, "established"), Ok("established".to_owned()));
    assert_eq!(inbound(2, "80/tcp"), Err(Why::Ports("80/tcp".parse().unwrap())));
    assert_eq!((limits(3).rate, limits(3).attachments), (Some(Rate { per_minute: 120, burst: 5 }), Some(64)));
}

#[test]
fn a_range_may_be_opened_if_the_rules_ranges_together_hold_it() {
    let ports = "[\"200-65535\", 80, \"90-110\", \"81-89\", \"100-150\", \"152-160\"]";
    let policy = policy(&format!("[[rule]]\nports = {ports}\n"));
    let limits = &policy.rule(&user(7), &on("one")).limits;
    assert_eq!(limits.ports.as_deref(), Some(&[(80, 150), (152, 160), (200, u16::MAX)][..]));
    for (first, last, may) in
        [(80, 150, true), (95, 105, true), (79, 80, false), (150, 152, false), (160, 200, false)]
    {
        assert_eq!(limits.may_open(&tcp(first, last)), may, "{first}-{last}");
    }
    assert!(limits.may_open(&tcp(200, u16::MAX)) && limits.may_open(&tcp(u16::MAX, u16::MAX)));
}

#[test]
fn what_makes_no_sense_is_told_with_its_line() {
    for (text, reasons) in [
        ("[[rule]]\n[[rule]]\nusers = [\"ghost\"]\n", vec!["line 2: users: there is no user \"ghost\""]),
        ("[[rule]]\ngroups = [\"ghosts\"]\n", vec!["line 1: groups: there is no group \"ghosts\""]),
        ("\n\n[[rule]]\nnetworks = [\"three\"]\n", vec!["line 3: networks: there is no network \"three\""]),
        ("[[rule]]\nusers = []\n", vec!["users: is empty"]),
        ("[[rule]]\nusers = [\"9-8\"]\n", vec!["there is no user \"9-8\""]),
        ("[[rule]]\nallow = false\nrate = 5\n", vec!["allow: is false, and there are limits"]),
        ("[[rule]]\nrate = 0\nburst = 60001\n", vec!["rate: 0 is not within", "burst: 60001 is not within"]),
        ("[[rule]]\nrate = \"unlimited\"\nburst = 3\n", vec!["burst: has no meaning"]),
        ("[[rule]]\nnames = [\"Web\", \"{you}\"]\n", vec!["names: \"Web\" is not a pattern", "\"{you}\""]),
        ("[[rule]]\nports = [\"x\", \"9-8\", \"70000\"]\n", vec!["\"x\" is neither", "\"9-8\"", "\"70000\""]),
        ("reserved_names = [\"a\",\n\"B\"]\n", vec!["line 2: reserved_names: \"B\""]),
    ] {
        let found = check(text).unwrap_err();
        assert_eq!(found.len(), reasons.len(), "{found:?}");
        for (found, reason) in found.iter().zip(reasons) {
            assert!(found.contains(reason), "{reason:?} is not in {found:?}");
        }
    }
}

#[test]
fn reservations_that_cannot_be_are_told() {
    let one = |user: &str, name: &str, address: &str| {
        format!(
            "[[reservation]]\nnetwork = \"one\"\nuser = {user}\nname = \"{name}\"\naddress = \"2001:db8:{address}\"\n"
        )
    };
    for (text, reason) in [
        (one("\"ghost\"", "web", "1::5"), "user: there is no user"),
        (one("\"5-9\"", "web", "1::5"), "user: name one user"),
        (one("7", "Web", "1::5"), "name: the name \"Web\" is not valid"),
        (one("7", "web", "2::5"), "address: 2001:db8:2::5 is not within"),
        (one("7", "web", "1::1"), "it is the gateway"),
        (one("7", "web", "1::5") + &one("8", "db", "1::5"), "is reserved by p.toml:1 already"),
        (one("7", "web", "1::5") + &one("7", "web", "1::6"), "the same user and name have p.toml:1 already"),
        (one("7", "web", "1::5").replace("\"one\"", "\"none\""), "network: there is no network"),
    ] {
        let found = check(&text).unwrap_err();
        assert!(found.len() == 1 && found[0].contains(reason), "{reason:?} is not in {found:?}");
    }
    // The same name of two users is each one's own.
    assert!(check(&(one("7", "web", "1::5") + &one("8", "web", "1::6"))).is_ok());
}

#[test]
fn wrong_types_are_told_in_words() {
    for (text, words) in [
        ("[[rule]]\nusers = [1.5]\n", "a name, a number, or a range"),
        ("[[rule]]\nattachments = \"many\"\n", "a number or \"unlimited\""),
        ("[[rule]]\nattachments = -1\n", "a number or \"unlimited\""),
        ("[[rule]]\nports = [70000]\n", "a port or a range of ports"),
        ("[[rule]]\nlimit = 3\n", "unknown field `limit`"),
        ("[[reservation]]\nnetwork = \"one\"\n", "missing field `user`"),
        ("collision = \"steal\"\n", "unknown variant `steal`"),
    ] {
        let error = toml::from_str::<File>(text).map(drop).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("line "), "{words:?} is not in {error}");
    }
}

#[test]
fn a_refusal_says_what_is_left() {
    let quota = |limit, used| Quota { limit: Some(limit), used };
    let left = Left {
        attachments: quota(64, 64),
        addresses: Quota { limit: None, used: 3 },
        activations: quota(120, 7),
    };
    let origin = Origin::Default;
    let refusal = Refusal { why: Why::Attachments(64), origin, left: Some(left) };
    assert_eq!(
        refusal.to_string(),
        "you have all 64 attachments that you may have: detach one \
         (rule: default; left: 0 of 64 attachments, 113 of 120 activations)"
    );
}

proptest! {
    /// Whatever the rules are: the decision is that of the first that fits, and what it forbids is hidden.
    #[test]
    fn the_first_that_fits_as_written_down(
        rules in prop::collection::vec((0u32..6, 1u32..3, prop::bool::ANY, 0usize..3), 0..8),
        uid in 1u32..8,
        network in 0usize..2,
    ) {
        let names = ["one", "two"];
        let mut text = String::new();
        for (first, more, allow, on) in &rules {
            let networks = names.get(*on).map(|name| format!("networks = [\"{name}\"]\n")).unwrap_or_default();
            text += &format!("[[rule]]\nusers = [\"{first}-{}\"]\nallow = {allow}\n{networks}", first + more);
        }
        let fits = |(first, more, _, on): &&(u32, u32, bool, usize)| {
            (*first..=first + more).contains(&uid) && (*on == network || *on == 2)
        };
        let allowed = rules.iter().find(fits).is_none_or(|(_, _, allow, _)| *allow);
        let policy = policy(&text);
        prop_assert_eq!(policy.shows(&user(uid), &on(names[network])), allowed);
        let outcome = told(&policy, &user(uid), names[network], "", "");
        prop_assert_eq!(outcome == format!("no {}", names[network]), !allowed);
    }
}

#[test]
fn fields_are_checked_one_by_one() {
    let wish = Wish::check(&ActivateRequest { name: "Quirky_Bardeen".into(), ..Default::default() }).unwrap();
    assert_eq!(wish.name.unwrap().as_str(), "quirky-bardeen");
    assert_eq!(wish.interface.as_str(), "v6pod0");
    assert!(wish.default_route && wish.network.is_none() && wish.address.is_none());
    for request in [
        ActivateRequest { name: "a b".into(), ..Default::default() },
        ActivateRequest { container_id: "../x".into(), ..Default::default() },
        ActivateRequest { network: "a\nb".into(), ..Default::default() },
        ActivateRequest { interface: "a/b".into(), ..Default::default() },
        ActivateRequest { address: "10.0.0.1".into(), ..Default::default() },
        ActivateRequest { address: "x".repeat(65_536), ..Default::default() },
        ActivateRequest { mac: "01:00:5e:00:00:01".into(), ..Default::default() },
        ActivateRequest {
            mac: "02:00:00:00:00:01".into(),
            address: "2001:db8::2".into(),
            ..Default::default()
        },
        ActivateRequest { mtu: 1279, ..Default::default() },
        ActivateRequest { aliases: vec!["a".into(); 17], ..Default::default() },
        ActivateRequest { tags: vec!["a b".into()], ..Default::default() },
        ActivateRequest { inbound: "80/http".into(), ..Default::default() },
    ] {
        let error = Wish::check(&request).unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
}

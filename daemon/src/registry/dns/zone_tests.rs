//! Tests of the zones, without a socket.

use super::*;

const WEB: &str = "2001:db8:0:1:2::a";

fn record(id: &str, name: &str, address: &str) -> Record {
    Record {
        aliases: Vec::new(),
        tags: Vec::new(),
        id: id.parse().unwrap(),
        name: name.parse().unwrap(),
        address: address.parse().unwrap(),
        uid: 1000,
        container_id: "c0ffee".to_owned(),
        network: "default".to_owned(),
    }
}

fn zone_of(prefix: &str) -> Zone {
    let origin = rr::Name::from_ascii("v6pod.").unwrap();
    Zone::new(origin, 0, vec![prefix.parse().unwrap()], vec!["2001:db8:0:1:2::1".parse().unwrap()])
}

fn find(zone: &Zone, name: &str, kind: RecordType) -> Found {
    zone.find(&rr::Name::from_ascii(name).unwrap(), kind)
}

fn data(found: Found) -> Vec<String> {
    match found {
        Found::Exists { data, .. } => data.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn reverse(address: &str) -> String {
    rr::Name::from(std::net::IpAddr::V6(address.parse().unwrap())).to_ascii()
}

#[test]
fn names_and_addresses_both_ways() {
    let mut zone = zone_of("2001:db8:0:1:2::/80");
    zone.insert(&record("000000000001", "web", WEB));
    zone.insert(&record("000000000002", "web", "2001:db8:0:1:2::b"));
    assert_eq!(data(find(&zone, "WeB.V6pod.", RecordType::AAAA)), [WEB, "2001:db8:0:1:2::b"]);
    assert_eq!(data(find(&zone, &reverse(WEB), RecordType::PTR)), ["web.v6pod."]);
    assert_eq!(data(find(&zone, "web.v6pod.", RecordType::A)), [""; 0]);
    zone.remove("000000000001".parse().unwrap());
    zone.remove("000000000001".parse().unwrap());
    assert_eq!(data(find(&zone, "web.v6pod.", RecordType::AAAA)), ["2001:db8:0:1:2::b"]);
    assert!(matches!(find(&zone, &reverse(WEB), RecordType::PTR), Found::Absent { .. }));
    assert_eq!(zone.len(), 1);
}

#[test]
fn a_changed_record_replaces_the_old_one() {
    let mut zone = zone_of("2001:db8:0:1:2::/80");
    zone.insert(&record("000000000001", "web", WEB));
    let serial = zone.soa().serial;
    zone.insert(&record("000000000001", "web", WEB));
    assert_eq!(zone.soa().serial, serial, "nothing changed");
    zone.insert(&record("000000000001", "db", WEB));
    assert!(matches!(find(&zone, "web.v6pod.", RecordType::AAAA), Found::Absent { .. }));
    assert_eq!(data(find(&zone, &reverse(WEB), RecordType::PTR)), ["db.v6pod."]);
    assert!(zone.soa().serial > serial);
}

#[test]
fn what_is_ours_and_what_is_not() {
    let mut zone = zone_of("2001:db8:0:1:2::/80");
    zone.insert(&record("000000000001", "web", WEB));
    for name in ["none.v6pod.", "a.web.v6pod.", "*.v6pod.", "a\\.b.v6pod."] {
        assert!(matches!(find(&zone, name, RecordType::AAAA), Found::Absent { .. }), "{name}");
    }
    for name in ["example.org.", ".", "xv6pod.", "ip6.arpa.", "arpa.", "4.3.2.1.in-addr.arpa."] {
        assert_eq!(find(&zone, name, RecordType::AAAA), Found::Elsewhere, "{name}");
    }
    assert_eq!(find(&zone, &reverse("2001:db8:0:1:3::1"), RecordType::PTR), Found::Elsewhere);
    assert_eq!(find(&zone, "8.b.d.0.1.0.0.2.ip6.arpa.", RecordType::SOA), Found::Elsewhere);
}

#[test]
fn labels_may_hold_any_octets() {
    let zone = zone_of("2001:db8:0:1:2::/80");
    for label in [&b"\0"[..], b"\xff\xfe", b"a b", b".", b"\\", &[b'a'; 63]] {
        let name = rr::Name::from_labels([label, b"v6pod"]).unwrap();
        assert!(matches!(zone.find(&name, RecordType::AAAA), Found::Absent { .. }), "{name:?}");
    }
}

#[test]
fn the_apex_speaks_for_itself() {
    let zone = zone_of("2001:db8:0:1:2::/80");
    assert_eq!(data(find(&zone, "v6pod.", RecordType::NS)), ["v6pod."]);
    assert_eq!(data(find(&zone, "v6pod.", RecordType::SOA)).len(), 1);
    assert_eq!(data(find(&zone, "v6pod.", RecordType::AAAA)), ["2001:db8:0:1:2::1"]);
    assert_eq!(data(find(&zone, &reverse("2001:db8:0:1:2::1"), RecordType::PTR)), ["v6pod."]);
    let apex = "2.0.0.0.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    assert_eq!(data(find(&zone, apex, RecordType::NS)), ["v6pod."]);
    let Found::Absent { apex: found } = find(&zone, &reverse(WEB), RecordType::PTR) else { panic!() };
    assert_eq!(found.to_ascii(), apex);
}

#[test]
fn inner_nodes_of_the_reverse_tree_exist() {
    let mut zone = zone_of("2001:db8:0:1:2::/80");
    zone.insert(&record("000000000001", "web", "2001:db8:0:1:2:aa00::a"));
    let apex = "2.0.0.0.1.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    assert_eq!(data(find(&zone, &format!("a.{apex}"), RecordType::PTR)), [""; 0]);
    for odd in ["b", "x", "aa", "g.a", "*"] {
        let name = format!("{odd}.{apex}");
        assert!(matches!(find(&zone, &name, RecordType::PTR), Found::Absent { .. }), "{name}");
    }
    let deeper = format!("0.{}", reverse("2001:db8:0:1:2:aa00::a"));
    assert!(matches!(find(&zone, &deeper, RecordType::PTR), Found::Absent { .. }));
}

#[test]
fn prefixes_that_end_within_a_nibble() {
    let mut zone = zone_of("2001:db8:0:1:4000::/66");
    zone.insert(&record("000000000001", "web", "2001:db8:0:1:7fff::1"));
    assert_eq!(data(find(&zone, &reverse("2001:db8:0:1:7fff::1"), RecordType::PTR)), ["web.v6pod."]);
    assert!(matches!(find(&zone, &reverse("2001:db8:0:1:5::1"), RecordType::PTR), Found::Elsewhere));
    assert!(matches!(find(&zone, &reverse("2001:db8:0:1:5000::1"), RecordType::PTR), Found::Absent { .. }));
    assert!(matches!(find(&zone, &reverse("2001:db8:0:1:8000::1"), RecordType::PTR), Found::Elsewhere));
}

#[test]
fn aliases_are_shared_and_lead_to_addresses_only() {
    let alias = |id: &str, name: &str, address: &str| Record {
        aliases: vec!["www".parse().unwrap()],
        ..record(id, name, address)
    };
    let one = alias("000000000001", "one", "2001:db8::1:1");
    let two = alias("000000000002", "two", "2001:db8::1:2");
    let mut zone = Zone::new("v6pod.".parse().unwrap(), 0, vec!["2001:db8::/80".parse().unwrap()], vec![]);
    zone.insert(&one);
    zone.insert(&two);
    let found = |zone: &Zone| match zone.find(&"www.v6pod.".parse().unwrap(), RecordType::AAAA) {
        Found::Exists { data, .. } => data.len(),
        _ => 0,
    };
    assert_eq!(found(&zone), 2);
    zone.remove(one.id);
    assert_eq!(found(&zone), 1);
    zone.remove(two.id);
    assert_eq!(found(&zone), 0);
}

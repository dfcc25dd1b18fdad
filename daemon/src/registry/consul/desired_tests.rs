//! Tests of the bookkeeping, without an agent.

use super::*;
use crate::model::Record;

fn id(text: &str) -> AttachmentId {
    text.parse().unwrap()
}

fn service(name: &str) -> Service {
    let record = Record {
        aliases: Vec::new(),
        tags: Vec::new(),
        id: id("000000000001"),
        name: name.parse().unwrap(),
        address: "2001:db8::a".parse().unwrap(),
        uid: 1000,
        container_id: "c0ffee".to_owned(),
        network: "default".to_owned(),
    };
    Service::new("v6pod-00000001-000000000001".to_owned(), &record, vec!["v6pod".to_owned()])
}

/// The service as an agent lists it.
fn listed(service: &Service) -> Listed {
    let mut json = serde_json::to_value(service).unwrap();
    json["Service"] = json["Name"].clone();
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_withdrawal_waits_for_the_registration_in_flight() {
    let one = id("000000000001");
    let mut desired = Desired::default();
    desired.publish(one, service("web"));
    let register = desired.next().unwrap();
    desired.withdraw(one);
    assert!(desired.next().is_none(), "the registration is in flight");
    desired.pushed(&register, Outcome::Done);
    let deregister = desired.next().unwrap();
    assert!(deregister.service.is_none());
    desired.pushed(&deregister, Outcome::Done);
    assert!(desired.entries.is_empty() && desired.due.is_empty());
}

#[test]
fn changes_in_flight_are_coalesced() {
    let one = id("000000000001");
    let mut desired = Desired::default();
    desired.publish(one, service("web"));
    let first = desired.next().unwrap();
    desired.publish(one, service("a"));
    desired.withdraw(one);
    desired.publish(one, service("b"));
    desired.pushed(&first, Outcome::Lost);
    let second = desired.next().unwrap();
    assert_eq!(second.service.as_deref(), Some(&service("b")));
    desired.pushed(&second, Outcome::Done);
    assert!(desired.next().is_none());
    assert_eq!(desired.state(one, &service("b")), State::Registered);
    desired.publish(one, service("b"));
    assert!(desired.next().is_none(), "nothing changed");
}

#[test]
fn a_refusal_waits_for_the_next_comparison() {
    let one = id("000000000001");
    let mut desired = Desired::default();
    desired.publish(one, service("web"));
    let push = desired.next().unwrap();
    desired.pushed(&push, Outcome::Refused("no".to_owned()));
    assert!(desired.next().is_none());
    assert_eq!(desired.state(one, &service("web")), State::Pending(Some("no")));
    desired.compare(desired.now(), &HashMap::new(), false);
    assert!(desired.next().is_some());
}

#[test]
fn comparison_finds_what_is_missing_different_and_unknown() {
    let [missing, different, unknown, right] =
        ["000000000001", "000000000002", "000000000003", "000000000004"].map(id);
    let mut desired = Desired::default();
    for known in [missing, different, right] {
        desired.publish(known, service("web"));
        let push = desired.next().unwrap();
        desired.pushed(&push, Outcome::Done);
    }
    let agent = HashMap::from([
        (different, listed(&service("other"))),
        (unknown, listed(&service("web"))),
        (right, listed(&service("web"))),
    ]);
    desired.compare(desired.now(), &agent, false);
    let pushes: Vec<_> = std::iter::from_fn(|| desired.next()).map(|push| push.id).collect();
    assert_eq!(pushes, [missing, different], "the unknown one has its probation");

    let mut desired = Desired::default();
    desired.compare(0, &agent, true);
    let pushes: Vec<_> = std::iter::from_fn(|| desired.next()).collect();
    assert_eq!(pushes.len(), 3);
    assert!(pushes.iter().all(|push| push.service.is_none()));
}

#[test]
fn an_old_list_says_nothing_about_what_changed_since() {
    let one = id("000000000001");
    let mut desired = Desired::default();
    let since = desired.now();
    desired.publish(one, service("web"));
    let push = desired.next().unwrap();
    desired.compare(since, &HashMap::new(), true);
    assert!(desired.next().is_none(), "in flight");
    desired.pushed(&push, Outcome::Done);
    desired.compare(since, &HashMap::new(), true);
    assert!(desired.next().is_none(), "registered after the list was asked for");
    desired.compare(desired.now(), &HashMap::new(), true);
    assert!(desired.next().is_some(), "the agent has lost it");
}

#[test]
fn withdrawals_are_remembered_until_confirmed() {
    let one = id("000000000001");
    let mut desired = Desired::default();
    desired.withdraw(one);
    let push = desired.next().unwrap();
    desired.pushed(&push, Outcome::Lost);
    desired.compare(desired.now(), &HashMap::from([(one, listed(&service("web")))]), false);
    assert!(desired.next().is_some_and(|push| push.service.is_none()), "known-withdrawn: no probation");

    let mut desired = Desired::default();
    desired.withdraw(one);
    desired.compare(desired.now(), &HashMap::new(), false);
    assert!(desired.entries.is_empty(), "gone already");
    desired.withdraw(one);
    desired.forget_withdrawn();
    assert!(desired.entries.is_empty() && desired.next().is_none());
}

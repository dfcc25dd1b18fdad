//! What the rules forbid is not there: networks, and what is another user's.

use tonic::Code;
use v6pod_proto::v1::{
    ExplainRequest, NetworksGetRequest, StatusRequest, daemon_client::DaemonClient,
    networks_client::NetworksClient,
};

use crate::site::{FIRST, Site, at, named, on, own, refused};

const HIDDEN: &str = "[[rule]]\nusers = [\"alice\"]\nnetworks = [\"other\"]\nallow = false\n";

#[test]
fn case_22_a_forbidden_network_is_as_absent_as_none() {
    let site = Site::new(HIDDEN);
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    site.attach(&site.bob, &bob.1, on("other"));
    let (uid, absent) = (site.alice.uid(), "othes");
    assert_eq!(site.shown(uid), ["default"]);
    assert_eq!(
        (site.shown(site.bob.uid()), site.shown(0)),
        (site.shown(0), vec!["default".into(), "other".into()])
    );
    let activate = |network| site.activate(uid, &alice.1, on(network)).expect_err(network);
    let get = |network: &str| {
        let client = site.client(uid, &[]);
        let request = NetworksGetRequest { name: network.to_owned() };
        client.wait(NetworksClient::new(client.channel()).get(request)).expect_err(network)
    };
    for (there, none) in [(activate("other"), activate(absent)), (get("other"), get(absent))] {
        assert_eq!((there.code(), none.code()), (Code::NotFound, Code::NotFound));
        assert_eq!(there.message().replace("other", absent), none.message());
        assert!(there.details().is_empty() && none.details().is_empty());
        let keys = |status: &tonic::Status| -> Vec<_> {
            status.metadata().keys().map(|key| format!("{key:?}")).collect()
        };
        assert_eq!(keys(&there), keys(&none));
    }
    let explain = |network: &str| {
        let request = ExplainRequest { network: network.to_owned(), ..ExplainRequest::default() };
        let mut told = site.explain(uid, request).expect("everybody may ask");
        (told.reason, told.network) = (told.reason.replace(network, "X"), told.network.replace(network, "X"));
        told
    };
    let told = explain("other");
    assert_eq!(told, explain(absent));
    assert!(!told.allowed && told.rule.is_empty() && told.attachments.is_none(), "{told:?}");
    // It is no way to find names and addresses out either: whatever else is asked for, the answer is the same.
    let with_name = v6pod_proto::v1::ActivateRequest { name: "web".into(), ..on("other") };
    refused(site.activate(uid, &alice.1, with_name), Code::NotFound, &["there is no network other"]);
}

#[test]
fn who_names_no_network_is_told_the_rule() {
    let site = Site::new("[[rule]]\nusers = [\"alice\"]\nallow = false\n");
    let alice = own(&site.alice);
    let outcome = site.activate(site.alice.uid(), &alice.1, ());
    let status = refused(outcome, Code::PermissionDenied, &["you may not attach here", &at(FIRST)]);
    assert!(!status.message().contains("default"), "{status}");
    let told = site.told(site.alice.uid());
    assert_eq!((told.allowed, told.rule), (false, at(FIRST)));
    assert!(site.shown(site.alice.uid()).is_empty());
}

#[test]
fn case_22_what_is_anothers_is_as_absent_as_none_under_rules_too() {
    let site = Site::new("[[rule]]\nattachments = 3\n");
    let bob = own(&site.bob);
    let theirs = site.attach(&site.bob, &bob.1, named("web"));
    let client = site.client(site.alice.uid(), &[]);
    let absent = "00000000dead";
    let there = refused(client.deactivate(&theirs.id), Code::NotFound, &["there is no attachment"]);
    let none = refused(client.deactivate(absent), Code::NotFound, &["there is no attachment"]);
    assert_eq!(there.message().replace(&theirs.id, absent), none.message());
    // Nor does the quota tell of others.
    assert_eq!(site.told(site.alice.uid()).attachments.map(|quota| quota.used), Some(0));
    assert_eq!(site.all(), [theirs]);
}

/// The fields of Explain are as hostile as those of Activate.
#[test]
fn case_20_hostile_fields_of_explain_are_refused_and_escaped() {
    let site = Site::new(HIDDEN);
    let long = "x".repeat(60_000);
    for text in ["../x", "a\nb", "a\0b", "\u{1b}[2J", "ä", long.as_str()] {
        for request in [
            ExplainRequest { network: text.to_owned(), ..ExplainRequest::default() },
            ExplainRequest { name: text.to_owned(), ..ExplainRequest::default() },
            ExplainRequest { address: text.to_owned(), ..ExplainRequest::default() },
        ] {
            let status = refused(site.explain(site.alice.uid(), request), Code::InvalidArgument, &["not"]);
            let sentence = status.message();
            assert!(sentence.len() < 500 && !sentence.chars().any(char::is_control), "{sentence:?}");
        }
    }
    let log = site.daemon.log();
    assert!(log.lines().all(|line| !line.chars().any(char::is_control)), "{log:?}");
}

#[test]
fn case_22_the_dns_of_a_forbidden_network_is_as_absent() {
    let site = Site::new(HIDDEN);
    let endpoint = |uid| {
        let client = site.client(uid, &[]);
        let status = client.wait(DaemonClient::new(client.channel()).status(StatusRequest {}));
        status.expect("everybody may ask").registries.remove(0).endpoint
    };
    let all = "[2001:db8:1::1]:53, [2001:db8:2::1]:53";
    assert_eq!((endpoint(0).as_str(), endpoint(site.bob.uid()).as_str()), (all, all));
    assert_eq!(endpoint(site.alice.uid()), "[2001:db8:1::1]:53");
}

//! What belongs to somebody else: names, ids, attachments.

use tonic::Code;
use v6pod_proto::v1::{ActivateRequest, Attachment, get_request::Target};

use crate::{
    holder::Holder,
    site::{NETWORK, Site, refused},
};

/// Bob's container, which alice would like to know about.
fn bobs(site: &Site, holder: &Holder) -> Attachment {
    let request =
        ActivateRequest { name: "web".into(), container_id: "c0ffee".into(), ..ActivateRequest::default() };
    let answer = site.activate(site.bob.uid(), &[&holder.net()], request).expect("bob is served");
    answer.attachment.expect("the answer holds it")
}

#[test]
fn another_users_name_is_taken_and_no_more_is_said() {
    let site = Site::new(NETWORK);
    let (bobs_holder, own) = (Holder::own(&site.bob), Holder::own(&site.alice));
    let theirs = bobs(&site, &bobs_holder);
    let net = own.net();
    for name in ["web", "WEB"] {
        let request = ActivateRequest { name: name.into(), ..ActivateRequest::default() };
        let status =
            refused(name, site.alices(&[&net], request), Code::AlreadyExists, "the name web is taken");
        for secret in [&theirs.uid.to_string(), "bob", &theirs.id, &theirs.address, "c0ffee"] {
            assert!(!status.message().contains(secret), "{status}");
        }
    }
    assert_eq!((site.ports().len(), site.count()), (1, 1));
    // Nor by naming what is attached already.
    site.alices(&[&net], ()).expect("without a name");
    let request = ActivateRequest { name: "web".into(), ..ActivateRequest::default() };
    refused("later", site.alices(&[&net], request), Code::AlreadyExists, "the name web is taken");
    drop((bobs_holder, own, net));
    site.is_unharmed();
}

#[test]
fn another_users_alias_is_taken_in_every_way() {
    let site = Site::new(NETWORK);
    let (bobs_holder, own) = (Holder::own(&site.bob), Holder::own(&site.alice));
    let aliases = vec!["db".to_owned()];
    let request = ActivateRequest { name: "web".into(), aliases, ..ActivateRequest::default() };
    site.activate(site.bob.uid(), &[&bobs_holder.net()], request).expect("bob is served");
    let net = own.net();
    let refuse = |what, request| {
        refused(what, site.alices(&[&net], request), Code::AlreadyExists, "is taken by another container");
    };
    let named = |name: &str| ActivateRequest { name: name.into(), ..ActivateRequest::default() };
    let aliased =
        |name: &str| ActivateRequest { aliases: vec!["x".into(), name.into()], ..ActivateRequest::default() };
    refuse("his alias as a name", named("db"));
    refuse("his alias as an alias", aliased("DB"));
    refuse("his name as an alias", aliased("web"));
    site.alices(&[&net], ()).expect("without a name");
    refuse("his alias as a name, later", named("db"));
    drop((bobs_holder, own, net));
    site.is_unharmed();
}

#[test]
fn anothers_attachment_cannot_be_told_from_none() {
    let site = Site::new(NETWORK);
    let holder = Holder::own(&site.bob);
    let theirs = bobs(&site, &holder);
    let client = site.client(site.alice.uid(), &[]);
    let absent = "00000000dead";
    let of_absent = [
        refused("Get", client.get(Target::Id(absent.into())), Code::NotFound, "no attachment"),
        refused("Deactivate", client.deactivate(absent), Code::NotFound, "no attachment"),
        refused("Check", client.check(absent), Code::NotFound, "no attachment"),
    ];
    let of_theirs = [
        refused("Get", client.get(Target::Id(theirs.id.clone())), Code::NotFound, "no attachment"),
        refused("Deactivate", client.deactivate(&theirs.id), Code::NotFound, "no attachment"),
        refused("Check", client.check(&theirs.id), Code::NotFound, "no attachment"),
    ];
    for (absent_status, their_status) in of_absent.iter().zip(&of_theirs) {
        assert_eq!(absent_status.message().replace(absent, &theirs.id), their_status.message());
        assert!(absent_status.details().is_empty() && their_status.details().is_empty());
        let keys = |status: &tonic::Status| -> Vec<String> {
            status.metadata().keys().map(|key| format!("{key:?}")).collect()
        };
        assert_eq!(keys(absent_status), keys(their_status));
    }
    let by_container = client.get(Target::ContainerId("c0ffee".into()));
    refused("Get", by_container, Code::NotFound, "there is no attachment of the container c0ffee");
    assert!(client.list().expect("alice may list").is_empty());
    assert_eq!(site.client(site.bob.uid(), &[]).list().expect("bob may list"), [theirs]);
    drop((client, holder));
    site.is_unharmed();
}

#[test]
fn the_same_container_id_is_each_owners_own() {
    let site = Site::new(NETWORK);
    let holder = Holder::own(&site.bob);
    let theirs = bobs(&site, &holder);
    let (one, other) = (Holder::own(&site.alice), Holder::own(&site.alice));
    let request = ActivateRequest { container_id: "c0ffee".into(), ..ActivateRequest::default() };
    let first = site.alices(&[&one.net()], request.clone()).expect("another container");
    assert!(first.created && site.count() == 2);
    // The same owner's: the container was restarted.
    let second = site.alices(&[&other.net()], request).expect("it replaces the first");
    let (first, second) = (first.attachment.expect("it"), second.attachment.expect("it"));
    assert!(first.id != second.id && first.address == second.address, "{first:?} {second:?}");
    assert_eq!((site.ports().len(), site.count()), (2, 2));
    let client = site.client(site.bob.uid(), &[]);
    assert_eq!(client.get(Target::ContainerId("c0ffee".into())).expect("bob's"), Some(theirs));
    drop((holder, one, other, client));
    site.is_unharmed();
}

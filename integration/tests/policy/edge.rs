//! The quota when many reach for the last places at the same time; and that nothing of it is lost.

use std::os::fd::OwnedFd;

use tonic::Code;
use v6pod_integration::{LATER, eventually};

use crate::site::{FIRST, Site, at, on, refused};

/// The namespaces, all of the same caller.
fn of(uid: u32, nets: &[OwnedFd]) -> Vec<(u32, &OwnedFd)> {
    nets.iter().map(|net| (uid, net)).collect()
}

#[test]
fn fifty_at_once_never_get_more_than_the_quota() {
    let mut site = Site::new("[[rule]]\nattachments = 10\nrate = 6000\n");
    let alice = site.alice.uid();
    let nets = site.namespaces(&site.alice, 50);
    let (good, bad): (Vec<_>, Vec<_>) = site.at_once(&of(alice, &nets)).into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), site.all().len(), site.ports()), (10, 10, 10));
    for outcome in bad {
        let words = ["all 10 attachments", &at(FIRST), "left: 0 of 10 attachments", "of 6000 activations"];
        refused(outcome, Code::ResourceExhausted, &words);
    }

    // What is given back can be had again, once.
    for attachment in good.into_iter().take(3).map(|outcome| outcome.expect("it went well")) {
        site.client(alice, &[]).deactivate(&attachment.id).expect("it is alice's");
    }
    let again = site.at_once(&of(alice, &nets));
    // Those that are attached are answered too: nothing new is counted for them.
    assert_eq!((again.iter().filter(|outcome| outcome.is_ok()).count(), site.all().len()), (10, 10));

    // A daemon that died counts what it finds.
    site.kill_and_restart();
    assert_eq!(site.told(alice).attachments.map(|quota| (quota.used, quota.left)), Some((10, 0)));
    let attached = site.at_once(&of(alice, &nets));
    assert_eq!((attached.iter().filter(|outcome| outcome.is_ok()).count(), site.ports()), (10, 10));

    // And what ends of itself is given back as well.
    drop(nets);
    eventually(LATER, || if site.all().is_empty() { Ok(()) } else { Err("attached") });
    assert_eq!(site.told(alice).attachments.map(|quota| quota.used), Some(0));
    let nets = site.namespaces(&site.alice, 11);
    let last = site.at_once(&of(alice, &nets));
    assert_eq!(last.iter().filter(|outcome| outcome.is_ok()).count(), 10);
}

#[test]
fn failed_attaches_use_up_nothing() {
    let site = Site::new("[[rule]]\nattachments = 1\n");
    let nets = site.namespaces(&site.alice, 1);
    let request = || v6pod_proto::v1::ActivateRequest { interface: "lo".into(), ..on("default") };
    for _ in 0..20 {
        let outcome = site.activate(site.alice.uid(), &nets[0], request());
        refused(outcome, Code::FailedPrecondition, &["an interface named lo already"]);
    }
    assert_eq!(site.told(site.alice.uid()).attachments.map(|quota| quota.used), Some(0));
    site.attach(&site.alice, &nets[0], ());
}

#[test]
fn one_users_quota_is_not_anothers() {
    let site = Site::new("[[rule]]\nattachments = 4\n");
    let (alices, bobs) = (site.namespaces(&site.alice, 20), site.namespaces(&site.bob, 20));
    let both = [of(site.alice.uid(), &alices), of(site.bob.uid(), &bobs)].concat();
    let outcomes = site.at_once(&both);
    let good = |range: std::ops::Range<usize>| outcomes[range].iter().filter(|one| one.is_ok()).count();
    assert_eq!((good(0..20), good(20..40)), (4, 4));
    // Root is bound by nothing.
    let roots = site.at_once(&of(0, &alices));
    assert_eq!(roots.iter().filter(|outcome| outcome.is_ok()).count(), 20, "{roots:?}");
}

#[test]
fn addresses_on_one_network_have_a_limit_of_their_own() {
    let site = Site::new(
        "[[rule]]\nnetworks = [\"other\"]\naddresses = 2\nattachments = 5\n[[rule]]\nattachments = 4\n",
    );
    let nets = site.namespaces(&site.alice, 6);
    let alice = site.alice.uid();
    for net in &nets[..2] {
        site.attach(&site.alice, net, on("other"));
    }
    let full = site.activate(alice, &nets[2], on("other"));
    let words = [
        "all 2 addresses that you may have on other",
        &at(FIRST),
        "3 of 5 attachments, 0 of 2 addresses here",
    ];
    refused(full, Code::ResourceExhausted, &words);
    for net in &nets[2..4] {
        site.attach(&site.alice, net, ());
    }
    let full = site.activate(alice, &nets[4], ());
    refused(full, Code::ResourceExhausted, &["all 4 attachments", &at(FIRST + 4), "0 of 4 attachments"]);
}

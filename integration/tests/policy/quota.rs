//! How much and how often.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use tonic::Code;
use v6pod_integration::{LATER, eventually};
use v6pod_proto::v1::{ActivateRequest, ExposeRequest};

use crate::{
    caller::{Client, PREFACE, dial, pass},
    holder::{Holder, subordinate},
    site::{FIRST, Site, at, named, on, own, refused},
};

#[test]
fn case_23_ten_thousand_activations_are_refused_well_before_the_bridge_is_full() {
    const CALLS: usize = 10_000;
    const CALLERS: usize = 8;
    // No rules: what a site has that has written none.
    let site = Site::new("");
    let nets = site.namespaces(&site.alice, 100);
    let [created, refusals, dropped, next] = [const { AtomicUsize::new(0) }; 4];
    let attack = || {
        let mut client: Option<Client> = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CALLS {
                return;
            }
            let net = &nets[number % nets.len()];
            if let Some(client) = &client {
                // If it cannot be sent, the call fails.
                let _ = client.pass_late(&[net.as_fd()]);
            } else {
                let wire = dial(&site.folder, site.alice.uid());
                client = pass(&wire, &PREFACE[..1], &[net.as_fd()]).ok().map(|()| Client::resume(wire, 1));
            }
            match client.as_ref().map(|client| client.activate(())) {
                Some(Ok(answer)) => created.fetch_add(usize::from(answer.created), Ordering::Relaxed),
                Some(Err(status)) if status.code() == Code::ResourceExhausted => {
                    assert!(status.message().contains("rule: default; left: "), "{status}");
                    refusals.fetch_add(1, Ordering::Relaxed)
                }
                // Who passes descriptors faster than they can be closed is hung up on, and calls again.
                _ => {
                    client = None;
                    dropped.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    };
    let bobs = Holder::own(&site.bob);
    let serve_bob = || {
        let start = Instant::now();
        let attachment = site.attach(&site.bob, &bobs.net(), ());
        let took = start.elapsed();
        site.client(site.bob.uid(), &[]).deactivate(&attachment.id).expect("it is bob's");
        // As often as bob may.
        thread::sleep(Duration::from_millis(500));
        took
    };
    let quiet = serve_bob().max(serve_bob());
    let mut waited = thread::scope(|scope| {
        let attackers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(attack)).collect();
        let mut waited = vec![serve_bob()];
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            waited.push(serve_bob());
        }
        waited
    });
    waited.sort_unstable();
    let (middle, slowest) = (waited[waited.len() / 2], waited[waited.len() - 1]);
    let [created, refusals, dropped] = [created, refusals, dropped].map(AtomicUsize::into_inner);
    eprintln!(
        "{CALLS} calls: {created} attached, {refusals} refused, {dropped} hung up on; bob waited {middle:?}, {slowest:?} at most, at rest {quiet:?}"
    );
    assert_eq!(created, 64);
    assert!(refusals > 1000 && refusals + dropped > CALLS - 2000, "{refusals} {dropped}");
    assert!(middle < quiet * 10 + Duration::from_millis(500) && slowest < LATER / 3, "bob waited {waited:?}");
    let alices = site.all().into_iter().filter(|attachment| attachment.uid == site.alice.uid()).count();
    assert!(alices == 64 && site.ports() <= 65, "{alices} attachments, {} ports", site.ports());
}

#[test]
fn so_often_and_no_oftener() {
    let site = Site::new("[[rule]]\nrate = 60\nburst = 5\n");
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let until_refused = || {
        let start = Instant::now();
        let mut good = 0;
        loop {
            match site.activate(site.alice.uid(), &alice.1, ()) {
                Ok(_) => good += 1,
                Err(status) => return (good, status, start.elapsed()),
            }
        }
    };
    let (good, status, took) = until_refused();
    assert!((5..=6 + took.as_secs()).contains(&good), "{good} in {took:?}");
    let words =
        ["60 times a minute, 5 at once: try again in 1 s", &at(FIRST), "left: 63 of 64 attachments, 0 of 5"];
    refused(Err::<(), _>(status), Code::ResourceExhausted, &words);
    // Nobody else is kept waiting, and asking costs nothing.
    site.attach(&site.bob, &bob.1, ());
    let told = site.told(site.alice.uid());
    assert!(!told.allowed && told.reason.contains("try again in"), "{told:?}");
    // It comes back with time, also in the eyes of Explain.
    eventually(LATER, || if site.told(site.alice.uid()).allowed { Ok(()) } else { Err("none is back") });
    let (good, status, took) = until_refused();
    assert!((1..=3 + took.as_secs()).contains(&good), "{good} in {took:?}");
    refused(Err::<(), _>(status), Code::ResourceExhausted, &["try again in"]);
}

#[test]
fn what_is_refused_for_its_fields_or_its_namespace_counts_too() {
    let site = Site::new("[[rule]]\nrate = 1\nburst = 10\nnames = [\"alice-*\"]\nports = [80]\n");
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let inbound = |text: &str| ActivateRequest { inbound: text.to_owned(), ..ActivateRequest::default() };
    let ask = |net, request| site.activate(site.alice.uid(), net, request);
    for _ in 0..2 {
        refused(ask(&bob.1, ActivateRequest::default()), Code::PermissionDenied, &["does not belong"]);
        refused(ask(&alice.1, named("a b")), Code::InvalidArgument, &["the name "]);
        refused(ask(&alice.1, named("web")), Code::PermissionDenied, &["may not use the name web"]);
        refused(ask(&alice.1, inbound("79-80/tcp")), Code::PermissionDenied, &["79-80/tcp"]);
        refused(ask(&alice.1, on("elsewhere")), Code::NotFound, &["no network elsewhere"]);
    }
    // That is ten: whatever comes next is refused for its number, and before anything else is looked at.
    let often = ["try again in", &at(FIRST), "0 of 10 activations"];
    for request in [ActivateRequest::default(), named("a b"), named("web"), on("elsewhere")] {
        refused(ask(&alice.1, request), Code::ResourceExhausted, &often);
    }
    let nothing = site.client(site.alice.uid(), &[]).activate(());
    refused(nothing, Code::ResourceExhausted, &often);
}

#[test]
fn exposing_counts_as_activating_does() {
    let site = Site::new("[[rule]]\nrate = 1\nburst = 5\nports = [80]\n");
    let alice = own(&site.alice);
    let id = site.attach(&site.alice, &alice.1, ()).id;
    let expose = |inbound: &str| {
        let client = site.client(site.alice.uid(), &[]);
        client
            .wait(client.attachments().expose(ExposeRequest { id: id.clone(), inbound: inbound.to_owned() }))
    };
    expose("80/tcp").expect("the rule allows it");
    refused(expose("79/tcp"), Code::PermissionDenied, &["may not open 79/tcp"]);
    refused(expose("80/http"), Code::InvalidArgument, &["80/http"]);
    expose("established").expect("the rule allows it");
    let often = ["attach and expose 1 times a minute, 5 at once", &at(FIRST), "0 of 5 activations"];
    refused(expose("80/tcp"), Code::ResourceExhausted, &often);
    refused(site.activate(site.alice.uid(), &alice.1, ()), Code::ResourceExhausted, &often);
}

#[test]
fn case_24_a_restarted_container_needs_no_further_place() {
    let site = Site::new("[[rule]]\nattachments = 1\n");
    let holders: Vec<_> = (0..3).map(|_| own(&site.alice)).collect();
    let container = |id: &str| ActivateRequest { container_id: id.to_owned(), ..ActivateRequest::default() };
    let first = site.attach(&site.alice, &holders[0].1, container("c0ffee"));
    // `podman restart`: the same id, another namespace, and the end of the former one not seen yet.
    let second = site.attach(&site.alice, &holders[1].1, container("c0ffee"));
    assert!(first.id != second.id && first.address == second.address, "{first:?} {second:?}");
    assert_eq!((site.all(), site.ports()), (vec![second.clone()], 1));
    // Another id is another container.
    let outcome = site.activate(site.alice.uid(), &holders[2].1, container("decade"));
    refused(outcome, Code::ResourceExhausted, &["0 of 1 attachments"]);
    assert_eq!(site.all(), [second]);
}

#[test]
fn case_24_fifty_of_one_id_leave_one() {
    let site = Site::new("[[rule]]\nattachments = 1\nrate = 6000\n");
    let nets = site.namespaces(&site.alice, 50);
    let barrier = std::sync::Barrier::new(50);
    let answers: Vec<_> = thread::scope(|scope| {
        let call = |net| {
            let (site, barrier) = (&site, &barrier);
            move || {
                let client = site.client(site.alice.uid(), &[net]);
                barrier.wait();
                client.activate(ActivateRequest {
                    container_id: "c0ffee".to_owned(),
                    ..ActivateRequest::default()
                })
            }
        };
        let calls: Vec<_> = nets.iter().map(|net| scope.spawn(call(net))).collect();
        calls.into_iter().map(|call| call.join().expect("the thread ends well")).collect()
    });
    // Each took the place of the one before, some before that one's caller was answered; none lacked a place.
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        assert!(status.message().contains("ended while it was being attached"), "{status}");
    }
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() > 25, "{answers:?}");
    assert_eq!((site.all().len(), site.ports()), (1, 1));
}

#[test]
fn case_24_an_id_of_somebody_elses_says_and_changes_nothing() {
    let site = Site::new("");
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let container = || ActivateRequest { container_id: "c0ffee".to_owned(), ..ActivateRequest::default() };
    let bobs = site.attach(&site.bob, &bob.1, container());
    // The same id is alice's own to use; bob's attachment is neither replaced nor shown.
    let alices = site.attach(&site.alice, &alice.1, container());
    assert!(alices.id != bobs.id && alices.uid == site.alice.uid());
    assert_eq!(
        site.client(site.alice.uid(), &[]).list().expect("alice may list"),
        std::slice::from_ref(&alices)
    );
    assert_eq!(site.all(), [bobs, alices]);
    // Nor does a uid of alice's own containers replace what is hers.
    let inner = Holder::nested_by_subordinate(&site.alice);
    let answer = site.activate(subordinate(&site.alice), &inner.net(), container()).expect("it is its own");
    assert!(answer.created && site.all().len() == 3, "{:?}", site.all());
    // With bob's namespace she gets nowhere, and is told nothing of what it has.
    let outcome = site.activate(site.alice.uid(), &bob.1, container());
    refused(outcome, Code::PermissionDenied, &["does not belong to uid"]);
}

//! Many at once, callers that die, and calls that contradict each other.

use std::{
    collections::HashSet,
    os::fd::{AsFd as _, OwnedFd},
    sync::Barrier,
    thread,
    time::Duration,
};

use rustix::pipe::{PipeFlags, pipe_with};
use v6pod_integration::{LATER, eventually};
use v6pod_proto::v1::{ActivateRequest, attachment::State, get_request::Target};

use crate::{
    caller::Client,
    holder::Holder,
    site::{NETWORK, Site, records},
};

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made")
}

#[test]
fn fifty_at_once_for_one_namespace_share_one_attachment() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let barrier = Barrier::new(50);
    let answers: Vec<_> = thread::scope(|scope| {
        let calls: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::new(&site.folder, site.alice.uid(), &[net.as_fd()]);
                    barrier.wait();
                    client.activate(()).expect("each is answered")
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().expect("the thread ends well")).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    let different: HashSet<_> = answers.iter().map(|answer| format!("{:?}", answer.attachment)).collect();
    assert_eq!(different.len(), 1, "{different:#?}");
    assert_eq!((site.ports().len(), site.count(), records(&site.host).len()), (1, 1, 1));
    drop((own, net));
    site.is_unharmed();
}

#[test]
fn case_19_a_caller_that_dies_leaves_all_or_nothing() {
    let site = Site::new(NETWORK);
    for step in 0..40u64 {
        let own = Holder::own(&site.alice);
        let net = own.net();
        let client = Client::new(&site.folder, site.alice.uid(), &[net.as_fd()]);
        client.activate_and_die(Duration::from_micros(step * 150));
        is_whole_or_absent(&site, step);
        drop((own, net));
        eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("still attached") });
    }
    site.is_unharmed();
}

#[test]
fn case_19_a_caller_that_dies_with_its_lease_leaves_nothing() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    for step in 0..40u64 {
        let (read, write) = pipe();
        let client = Client::new(&site.folder, site.alice.uid(), &[net.as_fd(), read.as_fd()]);
        client.activate_and_die(Duration::from_micros(step * 150));
        drop((write, read));
        eventually(LATER, || {
            let left = (site.count(), site.ports().len(), records(&site.host).len());
            if left == (0, 0, 0) { Ok(()) } else { Err(format!("step {step}: {left:?}")) }
        });
    }
    // No attach was still on its way when the last one was looked at.
    drop((own, net));
    site.is_unharmed();
}

/// Once nothing is going on: an attachment, its link and its record are there, or none of them is.
#[track_caller]
fn is_whole_or_absent(site: &Site, step: u64) {
    let mut former = usize::MAX;
    let root = site.client(0, &[]);
    eventually(LATER, || {
        let parts = (site.count(), site.ports().len(), records(&site.host).len());
        // The call may not even have been begun when its caller was gone: look twice.
        let busy = root.list().expect("root may list").iter().any(|one| one.state() != State::Active);
        let at_rest = !busy && former == parts.0 && matches!(parts, (0, 0, 0) | (1, 1, 1));
        former = parts.0;
        if at_rest { Ok(()) } else { Err(format!("step {step}: {parts:?}")) }
    });
    for attachment in root.list().expect("root may list") {
        let problems = root.check(&attachment.id).expect("root may check");
        assert!(problems.is_empty(), "step {step}: {problems:?}");
    }
}

/// Activate with something new to record, and Deactivate, of one attachment at the same time.
#[test]
fn a_renewal_does_not_bring_back_what_is_being_detached() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let uid = site.alice.uid();
    for round in 0..60u64 {
        let attached = site.alices(&[&net], ()).expect("a free namespace").attachment.expect("an attachment");
        let (read, write) = pipe();
        let renewal = Client::new(&site.folder, uid, &[net.as_fd(), read.as_fd()]);
        let end = Client::new(&site.folder, uid, &[]);
        end.list().expect("warmed up");
        renewal.list().expect("warmed up");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(round * 20));
                end.deactivate(&attached.id).expect("it is alice's")
            });
            scope.spawn(|| renewal.activate(()).expect("attached anew, or still"));
        });
        is_whole_or_absent(&site, round);
        let again = site.client(uid, &[]).get(Target::Id(attached.id));
        assert!(again.is_err(), "it came back: {again:?}");
        drop((read, write));
        eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("still attached") });
    }
    drop((own, net));
    site.is_unharmed();
}

/// Two users name attachments that have no name yet, at the same time and with the same name.
#[test]
fn a_name_is_given_once_however_close_the_race() {
    let site = Site::new(NETWORK);
    let (alices, bobs) = (Holder::own(&site.alice), Holder::own(&site.bob));
    let both = [(site.alice.uid(), alices.net()), (site.bob.uid(), bobs.net())];
    for round in 0..60 {
        let barrier = Barrier::new(2);
        let race = |(uid, net): &(u32, OwnedFd)| {
            let client = Client::new(&site.folder, *uid, &[net.as_fd()]);
            client.activate(()).expect("without a name");
            client.pass_late(&[net.as_fd()]).expect("it can be sent");
            barrier.wait();
            let request = ActivateRequest { name: format!("name{round}"), ..ActivateRequest::default() };
            client.activate(request).is_ok()
        };
        let won = thread::scope(|scope| {
            both.each_ref()
                .map(|one| scope.spawn(|| race(one)))
                .map(|call| call.join().expect("it ends well"))
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}: {won:?}");
        for attachment in site.client(0, &[]).list().expect("root may list") {
            site.deactivate(0, &attachment.id);
        }
    }
    drop((alices, bobs, both));
    site.is_unharmed();
}

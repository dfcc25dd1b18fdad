//! More descriptors than the contract knows, in one write or in several, once or again and again.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::pipe::{PipeFlags, pipe_with};
use tonic::Code;

use crate::{
    caller::{Client, MOST, PREFACE, dial, is_hung_up_on, pass, say},
    holder::Holder,
    site::{NETWORK, Site, refused},
};

fn null() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null can be opened").into()
}

#[test]
fn case_08_three_descriptors_end_the_connection() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let (net, null) = (own.net(), null());
    let three = [net.as_fd(), null.as_fd(), null.as_fd()];

    let at_once = dial(&site.folder, site.alice.uid());
    pass(&at_once, PREFACE, &three).expect("they can be sent");
    is_hung_up_on(&at_once);
    site.is_unharmed();

    // The fourth fits into what alignment leaves over in the daemon's buffer, the fifth does not.
    for more in 1..=3 {
        let wire = dial(&site.folder, site.alice.uid());
        pass(&wire, PREFACE, &[&three[..], &three[..more]].concat()).expect("they can be sent");
        is_hung_up_on(&wire);
    }
    site.is_unharmed();

    let one_by_one = dial(&site.folder, site.alice.uid());
    for (octet, descriptor) in PREFACE.chunks(1).zip(&three) {
        // It may have hung up at the third already.
        let _ = pass(&one_by_one, octet, &[*descriptor]);
    }
    is_hung_up_on(&one_by_one);
    drop(own);
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn case_09_all_the_descriptors_that_fit_a_thousand_times() {
    let site = Site::new(NETWORK);
    let null = null();
    let all = vec![null.as_fd(); MOST];
    for _ in 0..1000 {
        let wire = dial(&site.folder, site.alice.uid());
        // Or hung up on at once, while her earlier ones are being closed.
        let _ = pass(&wire, PREFACE, &all);
        is_hung_up_on(&wire);
    }
    site.is_unharmed();
    site.log_is_clean();
}

#[test]
fn case_10_descriptors_may_come_in_several_writes() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made");
    let wire = dial(&site.folder, site.alice.uid());
    say(&wire, &PREFACE[..2]);
    pass(&wire, &PREFACE[2..3], &[net.as_fd()]).expect("it can be sent");
    say(&wire, &PREFACE[3..7]);
    pass(&wire, &PREFACE[7..8], &[read.as_fd()]).expect("it can be sent");
    let answer = Client::resume(wire, 8).activate(()).expect("both arrived, in this order");
    assert!(answer.attachment.is_some_and(|attachment| attachment.leased));
    drop((own, net, read, write));
    site.is_unharmed();
}

#[test]
fn case_07_descriptors_are_good_for_one_call() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let net = own.net();
    let client = site.client(site.alice.uid(), &[]);
    let nothing = "no network namespace was passed";
    refused("before", client.activate(()), Code::InvalidArgument, nothing);
    client.pass_late(&[net.as_fd()]).expect("it can be sent");
    let first = client.activate(()).expect("it came late");
    refused("after", client.activate(()), Code::InvalidArgument, nothing);
    client.pass_late(&[net.as_fd()]).expect("it can be sent");
    let second = client.activate(()).expect("it came again");
    assert!(first.created && !second.created);
    assert_eq!(first.attachment, second.attachment);
    drop((client, own));
    drop(net);
    site.is_unharmed();
}

#[test]
fn descriptors_without_a_call_go_with_the_connection() {
    let site = Site::new(NETWORK);
    let null = null();
    let before = site.descriptors();
    let wires: Vec<_> = (0..100)
        .map(|_| {
            let wire = dial(&site.folder, site.alice.uid());
            pass(&wire, PREFACE, &[null.as_fd(), null.as_fd()]).expect("they can be sent");
            wire
        })
        .collect();
    site.serves_bob();
    assert!(site.descriptors() > before + 100, "the attack did not arrive");
    drop(wires);
    site.is_unharmed();
}

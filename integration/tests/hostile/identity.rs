//! Whose namespace is it, and is it one? The same answers however ownership is proven.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use rustix::{
    fs::OFlags,
    process::{PidfdFlags, pidfd_open},
};
use tonic::Code;

use crate::{
    holder::{Holder, bind_mounted, subordinate},
    site::{NETWORK, Site, refused},
};

const NONE_PASSED: &str = "no network namespace was passed";
const NO_NAMESPACE: &str = "the first descriptor that was passed is not a network namespace";
const NOT_YOURS: &str = "does not belong to uid";
const HOSTS: &str = "the host's own network namespace";

/// What is passed, and how it is refused.
type Row = (&'static str, Vec<OwnedFd>, Code, &'static str);

/// Does the same however ownership is proven: by default, by ioctls alone, and by the probe.
fn however_proven(attack: impl Fn(&Site)) {
    for proof in ["", "namespace_proof = \"ioctl\"\n", "namespace_proof = \"probe\"\n"] {
        let site = Site::new(&format!("{proof}{NETWORK}"));
        attack(&site);
        site.is_unharmed();
        site.log_is_clean();
    }
}

#[track_caller]
fn all_refused(site: &Site, rows: Vec<Row>) {
    for (what, passed, code, gist) in rows {
        refused(what, site.alices(&passed.iter().collect::<Vec<_>>(), ()), code, gist);
        drop(passed);
        site.is_unharmed();
    }
}

#[test]
fn case_01_the_hosts_own_namespace_is_refused() {
    however_proven(|site| {
        let host = || File::open(format!("/proc/{}/ns/net", site.host.pid())).expect("it can be opened");
        for uid in [site.alice.uid(), 0] {
            refused("the host's", site.activate(uid, &[&host().into()], ()), Code::PermissionDenied, HOSTS);
        }
    });
}

#[test]
fn case_02_namespaces_of_others_are_refused() {
    however_proven(|site| {
        all_refused(site, others(site));
        roots_limits(site);
        let own = Holder::own(&site.alice);
        subordinate_is_denied(site, &own);
    });
}

#[test]
fn case_03_ones_own_namespaces_pass() {
    however_proven(|site| {
        let own = Holder::own(&site.alice);
        for (what, namespace) in alices_own(site, &own) {
            let answer = site.alices(&[&namespace], ()).unwrap_or_else(|status| panic!("{what}: {status}"));
            let attachment = answer.attachment.expect("the answer holds it");
            assert!(answer.created && attachment.uid == site.alice.uid() && !attachment.leased, "{what}");
            assert_eq!(site.count(), 1, "{what}");
            site.deactivate(site.alice.uid(), &attachment.id);
        }
        own.end();
    });
}

/// The one difference: whoever owns an inner user namespace and not the outermost one is known by ioctls
/// and not by the probe, which stands in the initial one (`cap_capable`).
#[test]
fn case_03_what_a_process_in_a_container_made_is_its_own_where_the_kernel_says_so() {
    for (proof, passes) in [("ioctl", true), ("probe", false)] {
        let site = Site::new(&format!("namespace_proof = \"{proof}\"\n{NETWORK}"));
        subordinates_own(&site, passes);
        site.is_unharmed();
    }
}

#[test]
fn case_04_what_is_no_namespace_is_refused() {
    however_proven(|site| {
        let own = Holder::own(&site.alice);
        let rows = no_namespaces(site, &own);
        let rows = rows.into_iter().filter(|(what, ..)| !what.contains("pidfd"));
        all_refused(site, rows.collect());
    });
}

#[test]
fn case_05_a_pidfd_is_refused() {
    however_proven(|site| {
        let own = Holder::own(&site.alice);
        let rows: Vec<_> =
            no_namespaces(site, &own).into_iter().filter(|(what, ..)| what.contains("pidfd")).collect();
        assert_eq!(rows.len(), 3);
        all_refused(site, rows);
    });
}

#[test]
fn case_07_no_descriptor_is_refused() {
    let site = Site::new(NETWORK);
    refused("nothing", site.alices(&[], ()), Code::InvalidArgument, NONE_PASSED);
    site.is_unharmed();
}

/// Everything that is no network namespace.
fn no_namespaces(site: &Site, own: &Holder) -> Vec<Row> {
    let invalid = |what, passed: OwnedFd| (what, vec![passed], Code::InvalidArgument, NO_NAMESPACE);
    let open = |path| OwnedFd::from(File::open(path).expect("it can be opened"));
    let (socket, _) = UnixStream::pair().expect("sockets can be made");
    let pidfd = |pid| pidfd_open(pid, PidfdFlags::empty()).expect("a process has a pidfd");
    let dead = Holder::own(&site.alice);
    let pidfd_of_dead = pidfd(dead.pid());
    dead.end();
    site.host.write("/home/alice/file", "words");
    vec![
        invalid("a file", open(site.host.path("/home/alice/file"))),
        invalid("a folder", open(site.host.path("/home/alice"))),
        invalid("a socket", socket.into()),
        invalid("/dev/null", open("/dev/null".into())),
        invalid("a mount namespace", own.namespace("mnt")),
        invalid("a user namespace", own.namespace("user")),
        invalid("a PID namespace", own.namespace("pid")),
        invalid("a pidfd of one's own", pidfd(own.pid())),
        invalid("a pidfd of root's", pidfd(rustix::process::getpid())),
        invalid("a pidfd of a dead process", pidfd_of_dead),
        invalid("a namespace without rights", own.open("ns/net", OFlags::PATH)),
    ]
}

/// Network namespaces of others.
fn others(site: &Site) -> Vec<Row> {
    let denied = |what, passed| (what, vec![passed], Code::PermissionDenied, NOT_YOURS);
    let machine = File::open("/proc/self/ns/net").expect("it can be opened");
    vec![
        denied("the machine's", machine.into()),
        denied("root's", Holder::roots(&site.host).net()),
        denied("another user's", Holder::own(&site.bob).net()),
        denied("another user's nested one", Holder::nested(&site.bob).net()),
        denied("one that another user's subordinate made", Holder::nested_by_subordinate(&site.bob).net()),
    ]
}

/// Network namespaces that a user has every right over.
fn alices_own(site: &Site, own: &Holder) -> [(&'static str, OwnedFd); 4] {
    [
        ("one's own", own.net()),
        ("one's own nested one", Holder::nested(&site.alice).net()),
        ("one that one's subordinate made", Holder::nested_by_subordinate(&site.alice).net()),
        ("one's own without a process", bind_mounted(&site.alice)),
    ]
}

/// Root may attach anybody's.
fn roots_limits(site: &Site) {
    let bobs = Holder::own(&site.bob);
    let attachment =
        site.activate(0, &[&bobs.net()], ()).expect("root may").attachment.expect("an attachment");
    assert_eq!(attachment.uid, 0);
    let taken = site.activate(site.bob.uid(), &[&bobs.net()], ());
    refused("attached by root", taken, Code::FailedPrecondition, "attached already, by another user");
    site.deactivate(0, &attachment.id);
}

/// A process inside a container has a user id of its own, and the container's namespace is not its.
fn subordinate_is_denied(site: &Site, own: &Holder) {
    let outcome = site.activate(subordinate(&site.alice), &[&own.net()], ());
    refused("a subordinate id", outcome, Code::PermissionDenied, NOT_YOURS);
}

/// A process inside a container may have made a namespace itself.
fn subordinates_own(site: &Site, passes: bool) {
    let (uid, inner) = (subordinate(&site.alice), Holder::nested_by_subordinate(&site.alice));
    let outcome = site.activate(uid, &[&inner.net()], ());
    if passes {
        site.deactivate(uid, &outcome.expect("it is its own").attachment.expect("an attachment").id);
    } else {
        refused("a subordinate's own", outcome, Code::PermissionDenied, NOT_YOURS);
    }
}

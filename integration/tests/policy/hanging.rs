//! A user database and a disk that hang or fail: who does not need them is served all the same.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    path::Path,
    thread,
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    pipe::pipe,
    process::Pid,
};
use tonic::Code;
use v6pod_integration::eventually;
use v6pod_proto::v1::{ActivateRequest, ExposeRequest};

use crate::{
    holder::{Holder, subordinate},
    site::{SETTLED, Site, named, own, refused},
};

/// A FIFO: whoever opens it waits until somebody opens its other end.
fn hang(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO can be made");
}

/// Waits until a thread of the daemon's sleeps that has this name.
fn waits(site: &Site, pid: Pid, name: &str) {
    let tasks = format!("/proc/{pid}/task");
    eventually(SETTLED, || {
        let mut tasks = fs::read_dir(&tasks).expect("the daemon runs").filter_map(Result::ok);
        let is_it = |stat: String| stat.contains(&format!("({name}) S"));
        let found = tasks.any(|task| fs::read_to_string(task.path().join("stat")).is_ok_and(is_it));
        if found { Ok(()) } else { Err(site.daemon.log()) }
    });
}

#[test]
fn a_user_database_that_hangs_keeps_only_those_waiting_whose_owner_it_knows() {
    let mut site = Site::new("");
    let pid = site.daemon.process().pid();
    let bob = own(&site.bob);
    let (uid, inner) = (subordinate(&site.alice), Holder::nested_by_subordinate(&site.alice));
    let (passwd, aside) = (site.host.path("/etc/passwd"), site.host.path("/etc/passwd.aside"));
    let subuid = site.host.path("/etc/subuid");
    fs::rename(&passwd, &aside).expect("passwd(5)");
    hang(&passwd);
    // So that it has to be read again.
    let known = fs::read_to_string(&subuid).expect("subuid(5)");
    site.host.write("/etc/subuid", format!("carol:4000000:10\n{known}"));
    thread::scope(|scope| {
        let inner = &inner;
        let site = &site;
        let waiting = scope.spawn(move || site.activate(uid, &inner.net(), ()));
        waits(site, pid, "subids");
        let bobs = site.attach(&site.bob, &bob.1, ());
        assert_eq!(site.all(), [bobs]);
        assert!(!waiting.is_finished(), "it was not known whom to charge it to");
        // The database comes back, and knows nothing of what it was asked.
        let opened = OpenOptions::new().write(true).open(&passwd).expect("somebody waits for it");
        fs::rename(&aside, &passwd).expect("passwd(5)");
        drop(opened);
        let answer = waiting.join().expect("the thread ends well").expect("it is its own");
        assert_eq!(answer.attachment.expect("the answer holds it").uid, uid);
    });
}

#[test]
fn a_disk_that_hangs_keeps_nobody_waiting_who_only_looks() {
    let mut site = Site::new("");
    let pid = site.daemon.process().pid();
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let attachment = site.attach(&site.alice, &alice.1, ());
    let record = format!("/var/lib/v6pod/attachments/{}", attachment.id);
    let new = site.host.path(format!("{record}.new"));
    hang(&new);
    thread::scope(|scope| {
        let (site, id) = (&site, &attachment.id);
        let exposing = scope.spawn(move || {
            let client = site.client(site.alice.uid(), &[]);
            let request = ExposeRequest { id: id.clone(), inbound: "established".to_owned() };
            client.wait(client.attachments().expose(request))
        });
        waits(site, pid, "job");
        // Nobody sees it before it is recorded.
        assert_eq!(site.all(), std::slice::from_ref(&attachment));
        let told = site.told(site.alice.uid()).attachments.expect("a quota");
        assert_eq!(told.used, 1);
        assert_eq!(site.attach(&site.bob, &bob.1, ()).inbound, "open");
        assert!(!exposing.is_finished(), "the record was not written yet");
        let mut written = String::new();
        File::open(&new).expect("the FIFO").read_to_string(&mut written).expect("the record");
        assert!(written.contains("established"), "{written}");
        let exposed = exposing.join().expect("the thread ends well").expect("it is alice's");
        assert_eq!(exposed.attachment.expect("the answer holds it").inbound, "established");
    });
    site.client(site.alice.uid(), &[]).deactivate(&attachment.id).expect("it is alice's");
    assert!(!site.host.path(format!("{record}.json")).exists());
}

#[test]
fn a_renewal_that_cannot_be_recorded_takes_nothing() {
    let site = Site::new("");
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    let before = site.attach(&site.alice, &alice.1, ());
    let new = site.host.path(format!("/var/lib/v6pod/attachments/{}.new", before.id));
    fs::create_dir(&new).expect("nothing is there");
    let wish = || ActivateRequest { container_id: "c0ffee".to_owned(), ..named("web") };
    let renew = || {
        let (lease, held) = pipe().expect("a pipe");
        let client = site.client(site.alice.uid(), &[&alice.1, &lease]);
        (client.activate(wish()).map(|answer| answer.attachment.expect("the answer holds it")), held)
    };
    let (outcome, _held) = renew();
    refused(outcome, Code::Internal, &["/var/lib/v6pod/attachments"]);
    assert_eq!(site.all(), std::slice::from_ref(&before));
    fs::remove_dir(&new).expect("it is empty");
    let (outcome, held) = renew();
    let after = outcome.expect("it can be recorded now");
    assert_eq!((&*after.name, &*after.container_id, after.leased), ("web", "c0ffee", true));
    refused(site.activate(site.bob.uid(), &bob.1, named("web")), Code::AlreadyExists, &["web is taken"]);
    // The second lease is the one that holds it.
    drop(held);
    eventually(SETTLED, || if site.all().is_empty() { Ok(()) } else { Err(format!("{:?}", site.all())) });
}

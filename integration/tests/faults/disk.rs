//! The state directory is full, or read-only, or gone.

use v6pod_integration::{LATER, Namespaces, attached, eventually};

use crate::site::Site;

/// A host whose state directory is a small file system of its own, with one attachment.
fn site() -> Site {
    let mut site = Site::new();
    site.daemon.stop();
    site.host.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/var/lib/v6pod"]);
    site.daemon.start();
    site
}

/// An attach is refused while something is wrong with the disk, with a reason, and nothing is left of it;
/// a detach goes on. Afterwards all is as ever.
fn survives(break_it: &str, mend_it: &str, reason: &str) {
    let mut site = site();
    let before = site.at_rest();
    let (first_namespace, first) = site.attach("first");
    let (second_namespace, second) = site.attach("second");
    let namespace = Namespaces::new(&site.alice, 1);
    site.host.sh(break_it);

    let refused = site.alice.try_attach(&namespace, "third").expect_failure();
    assert!(refused.stdout.contains(reason), "{refused}");
    assert!(refused.stdout.contains("/var/lib/v6pod"), "{refused}");
    assert_eq!(namespace.inside(&["ip", "-o", "link"]).run().stdout.lines().count(), 1);
    assert_eq!((site.list().len(), site.records().len()), (2, 2), "{:?}", site.records());

    // The link, the address and the name are gone, whatever the disk says.
    site.try_deactivate(&first.id).expect_success();
    assert_eq!(site.list().len(), 1);
    assert_eq!(site.lookup("first"), "");
    assert_eq!(first_namespace.inside(&["ip", "-o", "link"]).run().stdout.lines().count(), 1);
    second_namespace.kill();
    eventually(LATER, || if site.list().is_empty() { Ok(()) } else { Err("it is still there") });
    assert_eq!(site.lookup("second"), "");

    site.host.sh(mend_it);
    let third = attached(&site.alice.try_attach(&namespace, "third").expect_success().stdout).remove(0);
    eventually(LATER, || site.whole(&third, "third"));
    assert!(!site.list().contains(&second.id));
    // Records that could not be erased are of no account.
    site.daemon.restart();
    site.only(&[&third.id]).expect("one attachment");
    eventually(LATER, || site.whole(&third, "third"));
    namespace.kill();
    first_namespace.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn case_32_the_disk_is_full() {
    let fill = "dd if=/dev/zero of=/var/lib/v6pod/filling bs=1k 2>/dev/null || true";
    survives(fill, "rm /var/lib/v6pod/filling", "No space left on device");
}

#[test]
fn case_32_the_disk_is_read_only() {
    let remount = |how: &str| format!("mount -o remount,{how} /var/lib/v6pod");
    survives(&remount("ro"), &remount("rw"), "Read-only file system");
}

#[test]
fn case_32_the_directory_is_gone() {
    let mut site = site();
    let (namespace, first) = site.attach("first");
    site.host.sh("rm -r /var/lib/v6pod/attachments");
    let other = Namespaces::new(&site.alice, 1);
    let refused = site.alice.try_attach(&other, "other").expect_failure();
    assert!(refused.stdout.contains("/var/lib/v6pod/attachments"), "{refused}");
    site.try_deactivate(&first.id).expect_success();
    assert!(site.list().is_empty());
    site.daemon.restart();
    site.only(&[]).expect("nothing is left");
    site.alice.try_attach(&namespace, "first").expect_success();
}

#[test]
fn the_daemon_says_so_when_it_cannot_start() {
    let mut site = site();
    site.daemon.stop();
    site.host.sh("mount -o remount,ro /var/lib/v6pod");
    let (namespace, line) = (Namespaces::new(&site.alice, 1), "Read-only file system");
    site.daemon.launch();
    let status = site.daemon.wait(LATER);
    assert_eq!(status.code(), Some(1), "{}", site.daemon.log());
    assert!(site.daemon.log().contains(line), "{}", site.daemon.log());
    let away = site.alice.try_attach(&namespace, "web").expect_failure();
    assert!(away.stdout.contains("is v6podd running?"), "{away}");
}

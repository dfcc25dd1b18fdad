//! The daemon is killed, the host restarted, the file torn: the next start makes up for it.

use std::{fs::OpenOptions, io::Write as _, time::SystemTime};

use v6pod_integration::{LATER, Namespaces, eventually, test_client};

use crate::site::{Site, written};

#[test]
fn what_ended_meanwhile_ended_at_the_next_start_or_before() {
    let mut site = Site::new("");
    let (gone_namespace, gone) = site.attach(&site.alice, "gone");
    let (_namespace, stays) = site.attach(&site.bob, "stays");
    let held = Namespaces::new(&site.alice, 1);
    let (mut client, leased) = site.alice.hold(&held, "leased");
    let before = site.history(&["stays"]);
    site.daemon.kill9();
    let killed = written(SystemTime::now(), 0);
    gone_namespace.kill();
    client.kill9();
    site.daemon.start();
    let (gone, leased) = (site.ended(&gone.address), site.ended(&leased.address));
    assert_eq!((gone.how(), leased.how()), (("gone", true), ("lease", true)));
    assert!(gone.end.as_deref() >= Some(&killed[..19]), "{gone:#?}, killed at {killed}");
    // What went on has not changed, and is there once.
    assert_eq!(site.history(&["stays"]), before);
    assert_eq!(before[0].id, stays.id);
    let shown = site.host.run(["v6pod", "history", &gone.address]);
    assert!(shown.stdout.contains("  by 20"), "{shown}");
    // And so it stays.
    let all = site.history(&[]);
    site.daemon.kill9();
    site.daemon.start();
    assert_eq!(site.history(&[]), all);
}

/// Kills the daemon after each of these steps. Whatever is listed then lasts in the history too and the other
/// way round; what does not has an end, once.
#[track_caller]
fn die(steps: &[&str], mut work: impl FnMut(&mut Site, &Namespaces)) {
    let mut site = Site::new("");
    for step in steps {
        let namespace = Namespaces::new(&site.alice, 1);
        work(&mut site, &namespace);
        site.daemon.stop();
        site.daemon.fault(Some(step)).start();
        let line = format!("{} victim\n", namespace.pids()[0]);
        if step.starts_with("attach") {
            test_client(&site.alice, &["attach", "1"], &line).try_run().expect_failure();
        } else {
            site.alice.try_run(["v6pod", "detach", "victim"]).expect_failure();
        }
        site.daemon.wait(LATER);
        site.daemon.fault(None).start();
        let lives = site.history(&["victim"]);
        let lasting = lives.iter().filter(|life| life.end.is_none()).count();
        assert_eq!(lasting, site.count(), "{step}: {lives:#?}");
        let mut ids: Vec<_> = lives.iter().map(|life| &life.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), lives.len(), "{step}: {lives:#?}");
        // A record was written: somebody had the address, however briefly.
        assert!(!lives.is_empty(), "{step}");
        namespace.kill();
        eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("still there") });
        let lives = site.history(&["victim"]);
        assert!(lives.iter().all(|life| life.end.is_some()), "{step}: {lives:#?}");
    }
    assert!(site.history(&["victim"]).len() >= steps.len());
}

#[test]
fn killed_at_any_step_of_an_attach() {
    let steps = ["attach.recorded", "attach.link", "attach.up", "attach.committed", "attach.published"];
    die(&steps, |_, _| {});
}

#[test]
fn killed_at_any_step_of_a_detach() {
    let steps = ["detach.withdrawn", "detach.recorded", "detach.link", "detach.erased"];
    die(&steps, |site, namespace| drop(site.alice.try_attach(namespace, "victim").expect_success()));
}

#[test]
fn a_host_that_was_restarted_ended_everything() {
    let mut site = Site::new("");
    let (namespace, attached) = site.attach(&site.alice, "web");
    // What a machine is like after it lost power: other processes, another boot id, records or none.
    site.daemon.kill9();
    namespace.kill();
    site.host.sh("rm -r /var/lib/v6pod/attachments
        echo 11111111-2222-3333-4444-555555555555 >/run/boot_id
        mount --bind /run/boot_id /proc/sys/kernel/random/boot_id");
    site.daemon.start();
    assert_eq!(site.ended(&attached.address).how(), ("reboot", true));
}

#[test]
fn a_torn_line_is_passed_over() {
    let mut site = Site::new("");
    let (first_namespace, first) = site.attach(&site.alice, "first");
    first_namespace.kill();
    let first = site.ended(&first.address);
    let (_namespace, second) = site.attach(&site.alice, "second");
    site.daemon.kill9();
    let mut file = OpenOptions::new().append(true).open(site.file("audit.log")).expect("the file is there");
    file.write_all(b"{\"event\":\"end\",\"time\":\"2026-01-01T00:0").expect("it can be written");
    site.daemon.start();
    let (third_namespace, third) = site.attach(&site.bob, "third");
    third_namespace.kill();
    site.ended(&third.address);
    assert_eq!(site.history(&[&first.address]), [first]);
    assert_eq!(site.history(&[&second.address]).len(), 1);
    assert_eq!(site.history(&[]).len(), 3);
}

#[test]
fn nothing_is_written_late_that_could_be_written_at_once() {
    let mut site = Site::new("");
    let namespaces = Namespaces::new(&site.alice, 20);
    let mut ids: Vec<_> = site.alice.attach(&namespaces, 10).into_iter().map(|one| one.id).collect();
    // Nobody asked for the history, which would wait for it, and nobody told the daemon to end.
    eventually(LATER, || {
        let text = std::fs::read_to_string(site.file("audit.log")).unwrap_or_default();
        let missing = ids.iter().filter(|id| !text.contains(*id)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) }
    });
    site.daemon.kill9();
    namespaces.kill();
    site.daemon.start();
    let mut found: Vec<_> = site.history(&[]).into_iter().map(|life| life.id).collect();
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
}

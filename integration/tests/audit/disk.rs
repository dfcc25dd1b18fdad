//! The disk is full, hangs, or is used up bit by bit: attachments go on, and what is lost is counted.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use v6pod_integration::{Attached, LATER, Namespaces, eventually, test_client};

use crate::site::{FOLDER, Site};

/// The files on a small file system of their own: attachments are recorded on another one.
const SMALL: &str =
    "mkdir -p /var/lib/v6pod/audit && mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/v6pod/audit";

/// Attaches and detaches each so many times, all at once.
#[track_caller]
fn cycle(site: &Site, namespaces: &Namespaces, count: usize) {
    let client = |pid: &u32| test_client(&site.alice, &["cycle", &count.to_string(), &pid.to_string()], "");
    let mut running: Vec<_> = namespaces.pids().iter().map(|pid| client(pid).spawn()).collect();
    for one in &mut running {
        let status = one.wait(10 * LATER);
        assert!(status.success(), "{one}");
    }
}

/// How long the quicker of many attaches take: whoever waited for a disk would not be among them, and what
/// else the machine does is not counted. None takes long.
#[track_caller]
fn pace(site: &Site) -> Duration {
    let namespaces = Namespaces::new(&site.alice, 40);
    let mut took: Vec<_> =
        site.alice.attach(&namespaces, 1).iter().map(|attached: &Attached| attached.took).collect();
    took.sort_unstable();
    namespaces.kill();
    eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("some are left") });
    assert!(took[took.len() - 1] < Duration::from_secs(5), "{took:?}");
    took[took.len() / 4]
}

#[test]
fn a_full_disk_fails_and_delays_nobody() {
    let site = Site::prepared("", SMALL);
    let quiet = pace(&site);
    let (_namespace, web) = site.attach(&site.bob, "web");
    assert_eq!(site.status()["healthy"], true);
    site.host.sh(&format!("dd if=/dev/zero of={FOLDER}/filling bs=1k 2>/dev/null || true"));

    let namespace = Namespaces::new(&site.alice, 1);
    // A page of the file may have room left.
    cycle(&site, &namespace, 20);
    eventually(LATER, || if site.status()["healthy"] == false { Ok(()) } else { Err(site.status()) });
    let status = site.status();
    assert!(
        status["error"].as_str().is_some_and(|error| error.contains("No space") && error.contains(FOLDER)),
        "{status}"
    );
    let told = site.host.try_run(["v6pod", "status"]).expect_failure();
    assert!(told.stderr.contains("the audit cannot be written"), "{told}");
    assert!(told.stdout.contains("the file cannot be written"), "{told}");
    let full = site.host.path(FOLDER).join("filling");
    site.bob.try_run(["v6pod", "detach", "web"]).expect_success();
    // What waits to be written is found all the same.
    assert_eq!(site.ended(&web.address).how(), ("detach", false));
    assert_eq!(site.history(&[&site.alice.uid().to_string()]).len(), 60);

    // More than is kept for later.
    let many = Namespaces::new(&site.alice, 8);
    cycle(&site, &many, 80);
    let busy = pace(&site);
    assert!(busy < quiet * 2 + Duration::from_millis(2), "{busy:?}, on a quiet disk {quiet:?}");
    let lost = site.status()["lost"].as_u64().expect("a number");
    assert!(lost > 100, "{lost}");
    let (_live, live) = site.attach(&site.bob, "live");

    fs::remove_file(full).expect("it can be removed");
    eventually(LATER, || if site.status()["healthy"] == true { Ok(()) } else { Err(site.status()) });
    assert_eq!(site.ended(&web.address).how(), ("detach", false));
    assert_eq!(site.history(&[&live.address])[0].end, None);
    let file = fs::read_to_string(site.file("audit.log")).expect("the file is there");
    assert!(file.contains("\"event\":\"lost\"") && file.contains(&live.id), "{file}");
    let log = site.daemon.log();
    assert!(log.contains("entries of the audit were lost"), "{log}");
    // It is said once, not once a second.
    assert_eq!(log.matches("the audit cannot be written").count(), 1, "{log}");
    assert!(site.status()["lost"].as_u64() >= Some(lost));
}

#[test]
fn a_disk_that_hangs_delays_nobody() {
    // A pipe that nobody reads from, in place of the file: whoever touches it waits for ever.
    let pipe = format!("mkdir -p {FOLDER} && mkfifo {FOLDER}/audit.log");
    let mut site = Site::prepared("", &pipe);
    let quiet = pace(&Site::new(""));
    let busy = pace(&site);
    assert!(busy < quiet * 2 + Duration::from_millis(2), "{busy:?}, on a quiet disk {quiet:?}");
    // More than the queue takes.
    let many = Namespaces::new(&site.alice, 8);
    cycle(&site, &many, 320);
    let lost = site.status()["lost"].as_u64().expect("a number");
    assert!(lost > 500, "{lost}");
    let (_live, live) = site.attach(&site.bob, "live");
    // Who asks is told, and not kept waiting for long.
    let start = Instant::now();
    let asked = site.asking(&[]).try_run().expect_failure();
    assert!(asked.stderr.contains("try again") && asked.status.code() == Some(4), "{asked}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    // It ends all the same, and the next start knows what lasts.
    site.daemon.stop();
    fs::remove_file(site.file("audit.log")).expect("it can be removed");
    site.daemon.start();
    assert_eq!(site.history(&[]).iter().map(|life| &life.id).collect::<Vec<_>>(), [&live.id]);
}

#[test]
fn it_takes_no_more_room_than_it_is_given() {
    let mut site = Site::new("[audit]\nsize = 65536\nkeep = 2\n");
    let (namespace, old) = site.attach(&site.bob, "old");
    let before = site.history(&["old"]);
    let churn = Namespaces::new(&site.alice, 8);
    cycle(&site, &churn, 64);
    eventually(LATER, || if site.files().len() == 3 { Ok(()) } else { Err(format!("{:?}", site.files())) });
    let names: Vec<_> = site.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2"]);
    // A batch of lines may go beyond the size.
    assert!(site.files().iter().all(|(_, size)| *size < 2 * 65_536), "{:?}", site.files());
    for name in &names {
        assert_eq!(mode(&site, name), 0o600);
    }
    assert_eq!(mode(&site, ""), 0o700);
    site.alice.try_run(["ls", FOLDER]).expect_failure();

    // The oldest entries are gone, and the answer says how far back it reaches.
    let output = site.asking(&["--limit", "1000", &site.alice.uid().to_string()]).run();
    let kept = output.json()["entries"].as_array().map_or(0, Vec::len);
    assert!((100..512).contains(&kept), "{kept}");
    assert!(output.json()["since"].as_str() > Some(before[0].start.as_str()), "{}", output.json()["since"]);
    assert_eq!(site.history(&["old"]), before);
    // What lasts is in the newest file, so its end is known even if nobody saw it and its record is lost.
    site.daemon.kill9();
    namespace.kill();
    site.host.sh("rm -r /var/lib/v6pod/attachments");
    site.daemon.start();
    let ended = site.ended(&old.address);
    assert_eq!((ended.how(), &ended.start), (("gone", true), &before[0].start));
    // Fewer are to be kept.
    site.daemon.stop();
    let fewer = format!("{}[audit]\nsize = 65536\nkeep = 0\n", crate::site::CONFIGURATION);
    site.daemon.configure(&fewer);
    site.daemon.start();
    assert_eq!(site.files().len(), 1, "{:?}", site.files());
}

fn mode(site: &Site, name: &str) -> u32 {
    fs::metadata(site.file(name)).expect(name).permissions().mode() & 0o7777
}

#[test]
fn a_file_that_an_administrator_removed_is_begun_again() {
    let site = Site::new("");
    let (namespace, old) = site.attach(&site.bob, "old");
    site.host.run(["rm", "-r", FOLDER]);
    site.attach(&site.alice, "new").0.kill();
    site.ended("new");
    eventually(LATER, || if site.files().len() == 1 { Ok(()) } else { Err(format!("{:?}", site.files())) });
    assert_eq!(mode(&site, "audit.log"), 0o600);
    namespace.kill();
    assert_eq!(site.ended(&old.address).how(), ("namespace", false));
}

#[test]
fn without_a_file_what_lasts_is_known() {
    let site = Site::new("[audit]\nfile = false\n");
    let (namespace, web) = site.attach(&site.alice, "web");
    assert_eq!(site.history(&[&web.address]).len(), 1);
    namespace.kill();
    eventually(LATER, || if site.history(&[&web.address]).is_empty() { Ok(()) } else { Err("it lasts") });
    let asked = site.host.try_run(["v6pod", "history"]).expect_failure();
    assert!(asked.stderr.contains("keeps no file"), "{asked}");
    assert!(site.files().is_empty() && site.status()["file"] == false);
    // The journal has it.
    assert_eq!(site.daemon.log().matches(&format!("v6podd::audit: end id={}", web.id)).count(), 1);
}

//! Containers as people have them, and the complaint: this address, at that time.

use std::{thread, time::Duration, time::SystemTime};

use v6pod_integration::{LATER, eventually};

use crate::site::{Site, written};

#[test]
fn a_complaint_leads_to_user_and_container() {
    let site = Site::new("");
    let before = written(SystemTime::now(), -1);
    let id = site.alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).text().to_owned();
    let alive = site.history(&["web"]).remove(0);
    let uid = u64::from(site.alice.uid());
    assert_eq!((alive.uid, &alive.container, &alive.name, &alive.end), (uid, &id, &"web".to_owned(), &None));
    assert_eq!((alive.network.as_str(), alive.reason.as_str()), ("default", "unspecified"));
    let shown = site.alice.container_net("web", ["ip", "address", "show", "v6pod0"]).run();
    assert!(shown.stdout.contains(&alive.mac) && shown.stdout.contains(&alive.address), "{shown}");

    // A second, so that there is a time at which only this one had it.
    thread::sleep(Duration::from_secs(2));
    let during = written(SystemTime::now(), -1);
    site.alice.podman(["rm", "-f", "-t", "0", "web"]);
    let ended = site.ended(&alive.address);
    assert!(["lease", "namespace"].contains(&ended.how().0) && !ended.approximate, "{ended:#?}");
    assert_eq!((&ended.id, &ended.start), (&alive.id, &alive.start));
    assert!(ended.end.as_ref() > Some(&ended.start));

    // The name's own address, a second time.
    thread::sleep(Duration::from_secs(2));
    site.alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let both = site.history(&[&alive.address]);
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!((&both[0].end, &both[1]), (&None, &ended));

    assert_eq!(site.history(&[&alive.address, "--at", &during]), std::slice::from_ref(&ended));
    assert_eq!(site.history(&[&alive.address, "--at", &before]), []);
    assert_eq!(site.history(&["--at", "0s"]), both[..1]);
    for what in ["2001:db8:1::/80", &id[..12], &site.alice.uid().to_string(), "Web"] {
        assert!(site.history(&[what]).contains(&ended), "{what}");
    }
    for what in ["2001:db8:2::/80", "2001:db8:1::ffff", "other", "0"] {
        assert_eq!(site.history(&[what]), [], "{what}");
    }
    assert_eq!(site.history(&["--limit", "1"]), both[..1]);
    let shown = site.host.run(["v6pod", "history", &alive.address]);
    assert!(shown.stdout.contains(" alice ") && shown.stdout.contains(" alive "), "{shown}");
}

#[test]
fn the_journal_is_told() {
    let site = Site::new("");
    site.alice.podman(["run", "-d", "--name", "Web_1", "busybox", "sleep", "1000"]);
    let alive = site.history(&["web-1"]).remove(0);
    site.alice.podman(["rm", "-f", "-t", "0", "Web_1"]);
    site.ended("web-1");
    let fields = format!("id={} uid={} address={} mac={}", alive.id, alive.uid, alive.address, alive.mac);
    let log = site.daemon.log();
    for event in ["start", "end"] {
        let line = format!(
            "INFO v6podd::audit: {event} {fields} network=\"default\" name=\"web-1\" container=\"{}\"",
            alive.container
        );
        assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
    }
}

#[test]
fn a_restarted_container_has_two_lives() {
    let site = Site::new("");
    site.alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let first = site.history(&["web"]).remove(0);
    site.alice.podman(["restart", "-t", "0", "web"]);
    let lives = eventually(LATER, || match site.history(&["web"]) {
        lives if lives.len() == 2 => Ok(lives),
        lives => Err(format!("{lives:#?}")),
    });
    assert_eq!((&lives[0].end, &lives[1].id, &lives[0].container), (&None, &first.id, &first.container));
    assert_eq!(lives[0].address, first.address);
    // The address was nobody's twice at once.
    assert!(lives[1].end.as_ref() <= Some(&lives[0].start), "{lives:#?}");
}

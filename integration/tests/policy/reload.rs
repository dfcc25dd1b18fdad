//! SIGHUP: another policy, whole or not at all.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tonic::Code;
use v6pod_integration::{LATER, Signal, eventually};

use crate::site::{FILE, FIRST, NETWORKS, Site, at, named, on, own, refused};

impl Site {
    /// Writes a configuration, has it read, and waits for what the daemon says of it.
    #[track_caller]
    fn reload(&mut self, configuration: &str, said: &str) -> String {
        self.daemon.configure(configuration);
        self.signal(said)
    }

    /// Has the file read again, and waits for a new line in the log with these words.
    #[track_caller]
    fn signal(&mut self, said: &str) -> String {
        let before = self.daemon.log().len();
        self.daemon.process().signal(Signal::HUP);
        eventually(LATER, || {
            let log = self.daemon.log();
            let line = log[before..].lines().find(|line| line.contains(said));
            line.map(str::to_owned).ok_or_else(|| format!("{said:?} is not in {}", &log[before..]))
        })
    }
}

#[test]
fn new_rules_are_in_force_at_once_and_nothing_else_is_touched() {
    let mut site = Site::new("[[rule]]\nattachments = 1\n");
    let holders: Vec<_> = (0..3).map(|_| own(&site.alice)).collect();
    let web = site.attach(&site.alice, &holders[0].1, named("web"));
    let alice = site.alice.uid();
    refused(site.activate(alice, &holders[1].1, ()), Code::ResourceExhausted, &["all 1 attachments"]);
    site.reload(&format!("{NETWORKS}\n\n[[rule]]\nattachments = 2\n"), "reloaded");
    site.attach(&site.alice, &holders[1].1, ());
    let full = site.activate(alice, &holders[2].1, ());
    refused(full, Code::ResourceExhausted, &["all 2 attachments", &at(FIRST + 2)]);
    assert_eq!(site.all()[0], web);

    // A file without rules is a policy too.
    site.reload(NETWORKS, "reloaded");
    assert_eq!(site.told(alice).rule, "default");
    site.attach(&site.alice, &holders[2].1, ());
    // So are reservations, and of a network what can change.
    let networks =
        NETWORKS.replace("default = true\n", "default = true\nallow_static = true\ncapacity = 3\n");
    let reserved = "2001:db8:1::200:0:9";
    let reservation = format!(
        "[[reservation]]\nnetwork = \"default\"\nuser = \"bob\"\nname = \"db\"\naddress = \"{reserved}\"\n"
    );
    site.reload(&format!("{networks}{reservation}"), "reloaded");
    let bob = own(&site.bob);
    let outcome = site.activate(site.bob.uid(), &bob.1, named("db"));
    refused(outcome, Code::ResourceExhausted, &["the network default is full: all 3 places"]);
    site.client(alice, &[]).deactivate(&web.id).expect("it is alice's");
    assert_eq!(site.attach(&site.bob, &bob.1, named("db")).address, reserved);
}

#[test]
fn what_is_wrong_is_refused_whole_and_the_old_rules_stay() {
    let good = format!("{NETWORKS}[[rule]]\nusers = [\"alice\"]\nallow = false\n");
    let mut site = Site::with(&good);
    let others = |rule: &str| format!("{NETWORKS}[[rule]]\nusers = [\"bob\"]\nallow = false\n{rule}");
    let mended = others("");
    for (configuration, reason) in [
        (others("[[rule]\n"), "line 9, column"),
        (others("[[rule]]\nusrs = [1]\n"), "unknown field"),
        (others("[[rule]]\nusers = [\"eve\"]\n"), "line 9: users: there is no user"),
        (others("[[rule]]\nnetworks = [\"none\"]\n"), "there is no network"),
        (
            mended.replace("[network.other]\n", "[network.other]\nbridge = \"x\"\n"),
            "this needs a restart: network.other.bridge",
        ),
        (mended.replace("[network.other]\n", "[network.other]\nmtu = 1400\n"), "network.other.mtu"),
        (mended.replace(":2::", ":3::"), "network.other.prefix"),
        (mended.replace("network.other", "network.another"), "network.other is gone, network.another is new"),
        (format!("{mended}[dns]\nttl = 5\n"), "this needs a restart: [dns]"),
        (format!("admin_group = \"9\"\n{mended}"), "this needs a restart: admin_group"),
        (String::new(), "is gone"),
    ] {
        let line = site.reload(&configuration, "not reloaded");
        assert!(
            line.contains("ERROR") && line.contains(FILE) && line.contains(reason),
            "{reason:?} is not in {line}"
        );
        assert!(!site.told(site.alice.uid()).allowed && site.told(site.bob.uid()).allowed, "{configuration}");
    }
    // A file that others may write to is no better, and one that is gone neither.
    site.daemon.configure(&mended);
    let path = site.host.path(FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a file of the host");
    assert!(site.signal("not reloaded").contains("others than root may write to it"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a file of the host");
    assert!(!site.told(site.alice.uid()).allowed);
    site.signal("reloaded");
    assert!(site.told(site.alice.uid()).allowed && !site.told(site.bob.uid()).allowed);
}

#[test]
fn what_the_new_rules_forbid_is_reported_and_stays() {
    let mut site = Site::new("");
    let holders: Vec<_> = (0..4).map(|_| own(&site.alice)).collect();
    let bob = own(&site.bob);
    let web = site.attach(&site.alice, &holders[0].1, named("web"));
    let rest: Vec<_> = holders[1..3].iter().map(|(_, net)| site.attach(&site.alice, net, ())).collect();
    let other = site.attach(&site.alice, &holders[3].1, on("other"));
    let bobs = site.attach(&site.bob, &bob.1, named("db"));
    let rules = "[[rule]]\nnetworks = [\"other\"]\nallow = false\n\
                 [[rule]]\nusers = [\"alice\"]\nnames = [\"{user}-*\"]\nattachments = 1\n";
    site.reload(&format!("{NETWORKS}{rules}"), "reloaded");
    let forbidden = |site: &Site| -> Vec<(String, String)> {
        let all = site.all().into_iter().filter(|attachment| !attachment.forbidden.is_empty());
        all.map(|attachment| (attachment.id, attachment.forbidden)).collect()
    };
    let name = format!("you may not use the name web: yours have to fit alice-* (rule: {})", at(FIRST + 3));
    let many = format!("you have all 1 attachments that you may have: detach one (rule: {})", at(FIRST + 3));
    let network = format!("you may not attach here (rule: {})", at(FIRST));
    // web is forbidden itself; of the two others the first may stay.
    let expected = [(web.id.clone(), name), (rest[1].id.clone(), many), (other.id, network)];
    assert_eq!(forbidden(&site), expected);
    assert_eq!((site.all().len(), site.ports(), site.told(site.alice.uid()).forbidden), (5, 5, 3));
    let log = site.daemon.log();
    assert_eq!(
        log.lines().filter(|line| line.contains("the rules forbid what is attached")).count(),
        3,
        "{log}"
    );

    let list = site.alice.run(["v6pod", "list"]);
    assert!(list.stdout.contains("RULES") && list.stdout.matches("forbidden").count() == 3, "{list}");
    assert!(!site.bob.run(["v6pod", "list"]).stdout.contains("RULES"));
    assert!(site.alice.run(["v6pod", "show", "web"]).stdout.contains("yours have to fit alice-*"));
    assert!(site.alice.try_run(["v6pod", "can-i"]).stdout.contains("3 of what is attached"));

    // It is found out again after a restart, and ends when somebody ends it.
    site.kill_and_restart();
    eventually(LATER, || {
        if forbidden(&site) == expected { Ok(()) } else { Err(format!("{:?}", forbidden(&site))) }
    });
    site.alice.run(["v6pod", "detach", "web"]);
    // Rules that allow it take it back.
    site.reload(NETWORKS, "reloaded");
    assert_eq!(forbidden(&site), []);
    assert_eq!((site.all().len(), site.all().contains(&bobs)), (4, true));
}

#[test]
fn what_the_new_rules_forbid_is_ended_if_they_say_so() {
    let mut site = Site::new("");
    let (alice, bob) = (own(&site.alice), own(&site.bob));
    site.attach(&site.alice, &alice.1, named("web"));
    let bobs = site.attach(&site.bob, &bob.1, named("db"));
    let rules = "[policy]\nevict = true\n[[rule]]\nusers = [\"alice\"]\nallow = false\n";
    site.reload(&format!("{NETWORKS}{rules}"), "reloaded");
    eventually(
        LATER,
        || if site.all() == [bobs.clone()] { Ok(()) } else { Err(format!("{:?}", site.all())) },
    );
    assert_eq!(site.ports(), 1);
    let log = site.daemon.log();
    assert!(log.lines().any(|line| line.contains("ended: the rules forbid it")), "{log}");
}

#[test]
fn a_hundred_reloads_under_fire_lose_nothing() {
    let mut site = Site::new("[[rule]]\nattachments = 5\nrate = 60000\n");
    let nets = site.namespaces(&site.alice, 20);
    let alice = site.alice.uid();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let pid = site.daemon.process().pid();
    std::thread::scope(|scope| {
        let callers: Vec<_> = nets
            .iter()
            .map(|net| {
                let (site, stop) = (&site, &stop);
                scope.spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        if let Ok(answer) = site.activate(alice, net, ()) {
                            let id = answer.attachment.expect("the answer holds it").id;
                            let _ = site.client(alice, &[]).deactivate(&id);
                        }
                    }
                })
            })
            .collect();
        for round in 0..100 {
            let rules = format!("{NETWORKS}[[rule]]\nattachments = {}\nrate = 60000\n", 5 + round % 2);
            // Replaced as editors do it: never half a file.
            site.host.write("/etc/v6pod/new", rules);
            fs::rename(site.host.path("/etc/v6pod/new"), site.host.path(FILE)).expect("a file of the host");
            rustix::process::kill_process(pid, Signal::HUP).expect("it runs");
            assert!(site.all().len() <= 6, "{:?}", site.all());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        callers.into_iter().for_each(|caller| caller.join().expect("it ends well"));
    });
    eventually(LATER, || if site.all().is_empty() { Ok(()) } else { Err("attached") });
    assert_eq!(site.told(alice).attachments.map(|quota| quota.used), Some(0));
    assert!(!site.daemon.log().contains("not reloaded"), "{}", site.daemon.log());
}

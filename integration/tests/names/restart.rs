//! The daemon ends and starts again: names stay, and those that ended meanwhile go.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};
use v6pod_integration::{Consul, Daemon, LATER, SOON, User, eventually};

use crate::site::{Site, stop};

/// Does something while Consul is asked for a name over and over again; panics if it ever does not know it.
#[track_caller]
fn never_missing(consul: &Consul, name: &str, address: &str, during: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let full_name = format!("{name}.service.consul");
    let answers = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                answers.push(consul.lookup(&full_name, "AAAA"));
            }
            answers
        });
        // Even when it panics: the watcher has to end.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        over.store(true, Ordering::Relaxed);
        let answers = watcher.join().expect("the watcher ends");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        answers
    });
    eprintln!("Consul was asked {} times", answers.len());
    assert!(answers.len() > 5, "only {} answers", answers.len());
    let wrong: Vec<_> = answers.iter().filter(|answer| *answer != &[address]).collect();
    assert!(wrong.is_empty(), "{} of {} answers were wrong: {wrong:?}", wrong.len(), answers.len());
}

/// Restarts the daemon, which ends in this way, while one container of two ends.
fn names_stay(end: fn(&mut Daemon)) {
    let mut site = Site::new(&["alice", "bob"]);
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let (stays, goes) = (site.start(&alice, "stays"), site.start(&bob, "goes"));
    never_missing(&site.consul, "stays", &stays, || {
        end(&mut site.daemon);
        stop(&bob, "goes");
        site.daemon.start();
        // Longer than a look at Consul's list takes: what is unknown must not be removed by it.
        thread::sleep(SOON);
    });
    assert_eq!(site.absent("goes", &goes), Ok(()));
    assert_eq!(site.in_dns("stays", &stays), Ok(()));
    stop(&alice, "stays");
    site.ends("stays", &stays);
    site.start(&bob, "again");
}

#[test]
fn names_stay_when_the_daemon_is_killed() {
    names_stay(Daemon::kill9);
}

#[test]
fn names_stay_when_the_daemon_is_stopped() {
    names_stay(Daemon::stop);
}

#[test]
fn names_are_in_dns_again_as_soon_as_the_daemon_answers() {
    let mut site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let web = site.start(&alice, "web");
    for end in [Daemon::kill9, Daemon::stop, Daemon::kill9] {
        end(&mut site.daemon);
        assert_eq!(site.dns(&["web.v6pod", "AAAA"]).status, "");
        site.daemon.start();
        eventually(LATER, || site.in_dns("web", &web));
    }
}

/// What ends a container of the user's.
type End = fn(&User, &str);

#[test]
fn all_that_ended_while_the_daemon_was_dead_is_gone() {
    let mut site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let ends: [(&str, End); 3] = [
        ("stopped", |user, name| stop(user, name)),
        ("removed", |user, name| drop(user.podman(["rm", "-f", "-t", "0", name]))),
        ("killed", |user, name| {
            let pid = user.container_pid(name).to_string();
            user.host().run(["kill", "-9", &pid]);
            eventually(LATER, || {
                let left = user.host().try_run(["kill", "-0", &pid]);
                if left.success() { Err(left) } else { Ok(()) }
            });
        }),
    ];
    let addresses = ends.map(|(name, _)| site.start(&alice, name));
    site.daemon.kill9();
    for (name, end) in ends {
        end(&alice, name);
    }
    assert_eq!(site.in_consul("stopped", &addresses[0]), Ok(()), "nobody was there to withdraw it");
    site.daemon.start();
    for ((name, _), address) in ends.iter().zip(&addresses) {
        site.ends(name, address);
    }
}

#[test]
fn only_what_is_ours_is_removed_from_consul_and_only_after_probation() {
    let mut site = Site::with(&["alice"], Consul::in_memory, "probation = 12\nsync = 1");
    let alice = site.host.user("alice");
    let web = site.start(&alice, "web");
    let services = site.consul.get("agent/services");
    let id = services.as_object().and_then(|services| services.keys().next()).expect("a service");
    let (ours, number) = id.rsplit_once('-').expect("an id ends in a number");
    // As if left by this daemon before it lost its records, by another's daemon, and by somebody else.
    let orphan = format!("{ours}-0123456789ab");
    let others = [format!("v6pod-ffffffff-{number}"), "v6pod".to_owned(), "web".to_owned()];
    site.daemon.kill9();
    for (id, name) in [(&orphan, "orphan"), (&others[0], "x"), (&others[1], "y"), (&others[2], "z")] {
        site.consul.put("agent/service/register", &json!({"ID": id, "Name": name, "Address": "2001:db8::9"}));
    }
    site.daemon.start();
    thread::sleep(SOON);
    assert_eq!(site.in_consul("orphan", "2001:db8::9"), Ok(()), "it is still on probation");
    eventually(LATER, || site.absent_in_consul("orphan"));
    let services = site.consul.get("agent/services");
    let left: Vec<&String> = services.as_object().map(|s| s.keys().collect()).unwrap_or_default();
    assert!(others.iter().all(|id| left.contains(&id)) && left.contains(&id) && left.len() == 4, "{left:?}");
    assert_eq!(site.in_consul("web", &web), Ok(()));

    // What somebody else changed or removed of ours is put right.
    let Value::Object(_) = &services[id] else { panic!("{services:#}") };
    site.consul.put("agent/service/register", &json!({"ID": id, "Name": "web", "Address": "2001:db8::9"}));
    eventually(LATER, || site.in_consul("web", &web));
    site.consul.put(&format!("agent/service/deregister/{id}"), &json!({}));
    eventually(LATER, || site.in_consul("web", &web));
}

//! The daemon is killed, or told to stop, while nothing is the matter, or everything; what lasts as long as
//! something else ends with that, before, after and during its absence.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::json;
use v6pod_integration::{LATER, Namespaces, Signal, attached, eventually, test_client};

use crate::{
    site::{Bystander, GATEWAY, Site},
    steps::steps,
};

#[test]
fn a_lease_is_found_again_after_a_restart() {
    let mut site = Site::new();
    let namespace = Namespaces::new(&site.alice, 1);
    let (mut client, held) = site.alice.hold(&namespace, "held");
    site.daemon.kill9();
    site.start();
    eventually(LATER, || site.whole(&held, "held"));
    client.kill9();
    eventually(LATER, || site.only(&[]));
    assert_eq!(site.lookup("held"), "");
}

#[test]
fn a_lease_that_ended_meanwhile_is_noticed_at_the_start() {
    let mut site = Site::new();
    let (gone, still) = (Namespaces::new(&site.alice, 1), Namespaces::new(&site.alice, 1));
    let (mut client, _) = site.alice.hold(&gone, "gone");
    let (_client, held) = site.alice.hold(&still, "held");
    site.daemon.kill9();
    client.kill9();
    site.start();
    // At once, not in a moment: nobody can have seen it.
    site.only(&[&held.id]).expect("the start has finished it");
    assert_eq!(gone.inside(&["ip", "-o", "link"]).run().stdout.lines().count(), 1);
    eventually(LATER, || site.whole(&held, "held"));
}

#[test]
fn a_namespace_that_ended_meanwhile_is_noticed_at_the_start() {
    let mut site = Site::new();
    let before = site.at_rest();
    let (namespace, _) = site.attach("gone");
    site.daemon.kill9();
    namespace.kill();
    site.start();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn a_lease_that_was_passed_on_is_found_again_too() {
    let mut site = Site::new();
    let namespace = Namespaces::new(&site.alice, 1);
    let line = format!("{} held\n", namespace.pids()[0]);
    let client = test_client(&site.alice, &["attach", "1", "pass"], &line).run();
    let held = attached(&client.stdout).remove(0);
    site.daemon.kill9();
    site.start();
    eventually(LATER, || site.whole(&held, "held"));
    // Its holder is the only `sleep` that is not a namespace's.
    let holders = format!("pgrep -x sleep | grep -vx {} | xargs kill -9", namespace.pids()[0]);
    site.host.sh(&holders);
    eventually(LATER, || site.only(&[]));
}

#[test]
fn slirp4netns_holds_the_lease_over_a_restart() {
    let mut site = Site::new();
    site.alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let web = site.named("web");
    site.daemon.kill9();
    site.start();
    eventually(LATER, || site.whole(&web, "web"));
    site.host.run(["pkill", "-9", "slirp4netns"]);
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || if site.lookup("web").is_empty() { Ok(()) } else { Err("the name is still there") });
}

#[test]
fn case_33_sigterm_ends_the_daemon_and_no_container() {
    let mut site = Site::new();
    let (_namespace, web) = site.attach("web");
    let watching = ["grpcurl", "-plaintext", "-unix"];
    let socket = "/run/v6pod/v6pod.sock";
    let mut watch = site.host.spawn(watching.iter().chain(&[socket, "v6pod.v1.Attachments/Watch"]));
    let idle = site.host.spawn(["socat", "-u", "UNIX-CONNECT:/run/v6pod/v6pod.sock", "STDOUT"]);
    eventually(LATER, || if watch.log().contains("KIND_SYNCED") { Ok(()) } else { Err(watch.log()) });
    let ping = ["ping", "-6", "-c1", "-W1", &web.address];
    let start = Instant::now();
    site.daemon.stop();
    // With work to finish it may take 10 s; these two have none.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    watch.wait(LATER);
    drop(idle);
    site.host.run(ping);
    site.daemon.start();
    eventually(LATER, || site.whole(&web, "web"));
    site.only(&[&web.id]).expect("one container");
}

#[test]
fn sigterm_in_the_middle_of_much_work() {
    let mut site = Site::new();
    let before = site.at_rest();
    let namespaces = Namespaces::new(&site.alice, 60);
    let mut client = test_client(&site.alice, &["attach", "30"], &namespaces.lines()).spawn();
    eventually(LATER, || if client.log().lines().count() > 5 { Ok(()) } else { Err(client.log()) });
    site.daemon.stop();
    client.wait(LATER);
    let done = client.log().lines().filter(|line| !line.contains("error")).count();
    site.daemon.start();
    let restored = site.list();
    // What was answered is there; what was begun is there or gone.
    assert!(restored.len() >= done, "{} of {done}", restored.len());
    site.only(&restored.iter().map(String::as_str).collect::<Vec<_>>()).expect("all agrees");
    namespaces.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn case_27_killed_at_any_moment_of_much_work() {
    let mut site = Site::new();
    let before = site.at_rest();
    for round in 0..8 {
        let namespaces = Namespaces::new(&site.alice, 30);
        let mut client = test_client(&site.alice, &["attach", "10"], &namespaces.lines()).spawn();
        if round % 2 == 0 {
            eventually(LATER, || if client.log().lines().count() > 5 { Ok(()) } else { Err(client.log()) });
        } else {
            client.wait(LATER);
            // In the middle of detaching.
            let ids: String = site.list().iter().map(|id| format!("{id}\n")).collect();
            client = test_client(&site.alice, &["detach", "10"], &ids).spawn();
        }
        thread::sleep(Duration::from_millis(7 * round));
        site.daemon.kill9();
        client.wait(LATER);
        site.start();
        let left = site.list();
        eprintln!("round {round}: {} of 30 left", left.len());
        site.only(&left.iter().map(String::as_str).collect::<Vec<_>>()).expect("all agrees");
        for id in &left {
            assert_eq!(site.check(id), [""; 0], "round {round}");
        }
        namespaces.kill();
        eventually(LATER, || site.only(&[]));
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
}

#[test]
fn case_28_a_namespace_may_end_at_any_moment_of_an_attach() {
    let site = Site::new();
    let before = site.at_rest();
    let race = r#"
        for i in $(seq 100); do
            unshare --user --map-root-user --net sleep infinity & holder=$!
            until [ "$(readlink /proc/$holder/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
            echo "$holder name$i" | /usr/libexec/v6pod/v6pod-test-client attach 1 &
            sleep 0.00$((i % 10))$((i / 10 % 10)); kill -9 $holder
            wait $! || true
        done"#;
    let output = site.alice.command(["bash", "-c", race]).run();
    let (mut attached, mut failed) = (0, Vec::new());
    for line in output.stdout.lines() {
        if line.contains("\"address\"") { attached += 1 } else { failed.push(line) }
    }
    eprintln!("{attached} were attached in time, {} were not: {:?}", failed.len(), failed.first());
    assert_eq!(attached + failed.len(), 100, "{output}");
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
    assert!(!site.daemon.log().contains("panicked") && !site.daemon.log().contains("ERROR"));
}

/// Waits until the daemon has stopped, as it was told to.
#[track_caller]
fn wait_for_stop(site: &mut Site) {
    let stat = format!("/proc/{}/stat", site.daemon.process().pid());
    eventually(LATER, || {
        let stat = fs::read_to_string(&stat).map_err(|error| error.to_string())?;
        let state = stat.rsplit(") ").next().unwrap_or_default();
        if state.starts_with('T') { Ok(()) } else { Err(format!("it is not stopped: {state}")) }
    });
}

#[test]
fn case_28_the_namespace_ends_at_each_step_of_an_attach() {
    let mut site = Site::new();
    let before = site.at_rest();
    for step in steps("attach") {
        site.restart_with(&format!("stop:{step}"));
        let namespace = Namespaces::new(&site.alice, 1);
        let line = format!("{} victim\n", namespace.pids()[0]);
        let mut client = test_client(&site.alice, &["attach", "1"], &line).spawn();
        wait_for_stop(&mut site);
        namespace.kill();
        site.daemon.process().signal(Signal::CONT);
        client.wait(LATER);
        eventually(LATER, || site.only(&[]).map_err(|error| format!("{step}: {error}\n{client}")));
        assert_eq!(site.lookup("victim"), "", "{step}");
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
    assert!(!site.daemon.log().contains("panicked") && !site.daemon.log().contains("ERROR"));
}

#[test]
fn case_28_the_namespace_ends_at_each_step_of_a_detach() {
    let mut site = Site::new();
    let before = site.at_rest();
    for step in steps("detach") {
        site.restart_with(&format!("stop:{step}"));
        let (namespace, victim) = site.attach("victim");
        let mut client = test_client(&site.alice, &["detach", "1"], &format!("{}\n", victim.id)).spawn();
        wait_for_stop(&mut site);
        namespace.kill();
        site.daemon.process().signal(Signal::CONT);
        assert!(client.wait(LATER).success(), "{step}: {client}");
        site.only(&[]).unwrap_or_else(|error| panic!("{step}: {error}"));
        eventually(LATER, || before.same_as(&site.host.snapshot()));
    }
    assert!(!site.daemon.log().contains("panicked") && !site.daemon.log().contains("ERROR"));
}

#[test]
fn case_32_messages_of_the_kernel_are_lost() {
    let mut site = Site::new();
    let before = site.at_rest();
    let (ended, _) = site.attach("ended");
    let (namespace, kept) = site.attach("kept");
    site.daemon.process().signal(Signal::STOP);
    // More than any buffer holds; of what happens then, nothing is told.
    site.host.sh("for i in $(seq 20000); do echo link set lo mtu $((60000 + i % 2)); done | ip -batch -
                  ip link set lo mtu 65536; ip link delete v6pod0");
    ended.kill();
    site.host.sh("until [ $(ip -o link show type veth | wc -l) = 1 ]; do sleep 0.05; done");
    site.daemon.process().signal(Signal::CONT);
    eventually(LATER, || {
        let lost = site.daemon.log().contains("messages of the kernel were lost");
        if lost { Ok(()) } else { Err("nothing was lost") }
    });
    eventually(LATER, || site.only(&[&kept.id]));
    eventually(LATER, || site.whole(&kept, "kept"));
    assert_eq!(site.lookup("ended"), "");
    namespace.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

/// The daemon's clock, and nobody else's, is put ten years ahead and ten years back.
#[test]
fn case_33_the_clock_jumps() {
    let mut site = Site::with_consul();
    site.host.write("/tmp/clock", "+0");
    let library = site.host.sh("ls /usr/lib/*/faketime/libfaketimeMT.so.1").text().to_owned();
    site.daemon.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", "/tmp/clock");
    site.daemon.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    site.daemon.restart();
    let bystander = Bystander::new(&site);
    let year = |site: &Site, name: &str| {
        let answer = site.call("List", &json!({"name": name}));
        answer["attachments"][0]["created"].as_str().and_then(|text| text.get(..4)?.parse::<i32>().ok())
    };
    let today = year(&site, "web").expect("a year");
    for (by, years) in [("+3650d", 10), ("-3650d", -10)] {
        let (namespace, before) = site.attach("before");
        let held = Namespaces::new(&site.alice, 1);
        let (mut client, _) = site.alice.hold(&held, "held");
        site.host.write("/tmp/clock", by);
        let (later, after) = site.attach("after");
        let shown = year(&site, "after").expect("a year");
        assert!((today + years - 1..=today + years).contains(&shown), "the clock did not jump: {shown}");
        eventually(LATER, || site.whole(&after, "after"));
        client.kill9();
        eventually(LATER, || site.only(&[&bystander.attached.id, &before.id, &after.id]));
        eventually(LATER, || site.consul_knows(&["after", "before", "web"]));
        site.daemon.kill9();
        site.daemon.start();
        site.only(&[&bystander.attached.id, &before.id, &after.id]).expect("all are found again");
        namespace.kill();
        later.kill();
        eventually(LATER, || site.only(&[&bystander.attached.id]));
        eventually(LATER, || site.consul_knows(&["web"]));
        site.host.write("/tmp/clock", "+0");
    }
    bystander.lost_nothing();
}

#[test]
fn case_33_a_stopped_daemon_goes_on_where_it_was() {
    let mut site = Site::new();
    let (web_namespace, web) = site.attach("web");
    let namespace = Namespaces::new(&site.alice, 1);
    site.daemon.process().signal(Signal::STOP);
    let line = format!("{} late\n", namespace.pids()[0]);
    let mut client = test_client(&site.alice, &["attach", "1"], &line).spawn();
    thread::sleep(Duration::from_millis(200));
    assert!(client.is_running(), "it waits\n{client}");
    // Meanwhile both namespaces end; only the one on its way in a message is still held.
    namespace.kill();
    web_namespace.kill();
    let ping = ["ping", "-6", "-c1", "-W1", &web.address];
    eventually(LATER, || if site.host.try_run(ping).success() { Err("it still answers") } else { Ok(()) });
    site.host.run(["ping", "-6", "-c1", "-W1", GATEWAY]);
    site.daemon.process().signal(Signal::CONT);
    client.wait(LATER);
    eventually(LATER, || site.only(&[]));
}

/// More messages than any buffer holds, of which the daemon hears nothing.
fn overrun(site: &mut Site, meanwhile: &str) {
    let before = site.daemon.log().matches("messages of the kernel were lost").count();
    site.daemon.process().signal(Signal::STOP);
    site.host.sh("for i in $(seq 20000); do echo link set lo mtu $((60000 + i % 2)); done | ip -batch -
                  ip link set lo mtu 65536");
    site.host.sh(meanwhile);
    site.daemon.process().signal(Signal::CONT);
    eventually(LATER, || {
        let lost = site.daemon.log().matches("messages of the kernel were lost").count() > before;
        if lost { Ok(()) } else { Err("nothing was lost") }
    });
}

#[test]
fn case_32_who_attaches_while_the_daemon_looks_again_is_not_taken_for_gone() {
    const GO_ON: &str = "/run/v6pod-fault-go-on";
    let mut site = Site::new();
    site.restart_with("hold:resync.begun");
    let (ended, _) = site.attach("ended");
    let (_kept, kept) = site.attach("kept");
    ended.kill();
    eventually(LATER, || site.only(&[&kept.id]));
    overrun(&mut site, "true");
    let says = |site: &Site, what: &str| {
        if site.daemon.log().contains(what) { Ok(()) } else { Err(format!("no {what:?}")) }
    };
    eventually(LATER, || says(&site, "a thread is held"));
    // In the middle of it: the daemon has begun to look, and is not done.
    let (_new, new) = site.attach("new");
    says(&site, "looked for what lost messages told").expect_err("it was not held");
    site.host.write(GO_ON, "");
    eventually(LATER, || says(&site, "looked for what lost messages told"));
    site.only(&[&kept.id, &new.id]).expect("nobody was cut off");
    site.whole(&new, "new").expect("the new one is whole");
    // And what did end is found.
    let (gone, _) = site.attach("gone");
    let pid = gone.pids()[0];
    overrun(
        &mut site,
        &format!("kill -9 {pid}; until [ $(ip -o link show type veth | wc -l) = 2 ]; do sleep 0.05; done"),
    );
    eventually(LATER, || site.only(&[&kept.id, &new.id]));
}

//! Other programs' doings with nftables, and the daemon's own end: the rules are in force all the same.

use std::{thread, time::Duration};

use v6pod_integration::{Namespaces, Signal, attached, eventually, test_client};

use crate::site::{Container, LATER, OFF, PREFIX, SOON, Seen, Site, Traffic};

const ATTACKS: &[&str] = &["address-of-victim", "mac-unused", "na-of-neighbour", "ra", "arp-reply"];

/// The ruleset without counters.
fn rules(site: &Site) -> String {
    let text = site.host.run(["nft", "-s", "list", "ruleset"]).stdout;
    // Elements come in no order of their own.
    let mut words: Vec<_> = text.split_whitespace().map(|word| word.trim_end_matches(',')).collect();
    words.sort_unstable();
    words.join("\n")
}

#[track_caller]
fn is_guarded(site: &Site) {
    assert_eq!(site.fire(ATTACKS), Seen::default());
    for container in [&site.attacker, &site.victim, &site.neighbour] {
        assert_eq!(site.check(container), [""; 0]);
    }
}

#[test]
fn case_32_what_others_take_away_is_restored_at_once() {
    let site = Site::new(PREFIX);
    let before = rules(&site);
    let mut traffic = Some(Traffic::new(&site));
    let element =
        format!("{{ \"{}\" . {} . {} }}", site.victim.port(), site.victim.mac(), site.victim.address());
    for (count, change) in [
        "flush ruleset".to_owned(),
        "delete table bridge v6pod".to_owned(),
        "delete table inet v6pod".to_owned(),
        "flush chain bridge v6pod from_container".to_owned(),
        "flush table bridge v6pod".to_owned(),
        "insert rule bridge v6pod prerouting accept".to_owned(),
        "flush set bridge v6pod addresses".to_owned(),
        format!("delete element bridge v6pod addresses {element}"),
        "add element bridge v6pod senders { \"v6p000000000000\" . 02:00:00:00:00:01 }".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        // From here on it is the victim that somebody takes out.
        if change.starts_with("flush set") {
            traffic.take().expect("it runs").lost_nothing();
        }
        site.host.run(["nft", change]);
        let restored = || site.daemon.log().matches("restored author=\"\\\"nft\\\"").count();
        eventually(SOON, || if restored() > count { Ok(()) } else { Err(site.daemon.log()) });
        assert_eq!(rules(&site), before, "{change}");
    }
    is_guarded(&site);
}

#[test]
fn others_tables_are_nobodys_business() {
    let site = Site::new(PREFIX);
    let before = rules(&site);
    site.host.sh("nft 'add table inet other; add table bridge v6pod-like; add table ip v6pod; add set ip v6pod a { type mark; }'");
    site.host.sh("nft 'delete table inet other; delete table bridge v6pod-like; delete table ip v6pod'");
    // Something that it does restore, so that what came before has been seen.
    site.host.run(["nft", "flush chain bridge v6pod discovery"]);
    eventually(SOON, || if rules(&site) == before { Ok(()) } else { Err(rules(&site)) });
    assert_eq!(site.daemon.log().matches("restored").count(), 2, "{}", site.daemon.log());
}

#[test]
fn case_32_what_happens_unseen_is_restored_too() {
    let mut site = Site::new(PREFIX);
    let before = rules(&site);
    site.daemon.process().signal(Signal::STOP);
    // More news than the kernel keeps for anybody; the last of it is lost.
    site.host.sh(
        "{ echo 'add table inet other; add set inet other many { type ipv6_addr; }'
           for i in {1..40}; do printf 'add element inet other many { ::1'; printf \", 2001:db8:$i::%x\" $(seq 2000); echo ' }'; done
           echo 'delete table inet other'; } >/tmp/many
        for i in {1..6}; do nft -f /tmp/many; done
        nft flush ruleset",
    );
    site.daemon.process().signal(Signal::CONT);
    eventually(LATER, || if rules(&site) == before { Ok(()) } else { Err(site.daemon.log()) });
    assert!(site.daemon.log().contains("messages were lost"), "{}", site.daemon.log());
    is_guarded(&site);
}

#[test]
fn an_attach_while_the_table_is_gone_opens_nothing() {
    let mut site = Site::new(PREFIX);
    let dave = site.host.user("carol");
    let namespace = Namespaces::new(&dave, 1);
    // It is asked to attach before it can have seen that the table is gone.
    site.daemon.process().signal(Signal::STOP);
    site.host.run(["nft", "flush", "ruleset"]);
    let line = format!("{} late\n", namespace.pids()[0]);
    let client = test_client(&dave, &["attach", "1"], &line).spawn();
    thread::sleep(Duration::from_millis(200));
    site.daemon.process().signal(Signal::CONT);
    eventually(LATER, || if client.log().contains("address") { Ok(()) } else { Err(client.log()) });
    let late = Container { attached: attached(&client.log()).remove(0), namespace };
    assert_eq!(site.check(&late), [""; 0]);
    is_guarded(&site);
    late.ping(site.victim.address()).expect("it is admitted");
}

#[test]
fn attaching_goes_on_while_somebody_flushes_all_the_time() {
    let site = Site::new(PREFIX);
    let user = site.host.user("carol");
    let flushing = site.host.spawn(["bash", "-c", "while :; do nft flush ruleset; sleep 0.01; done"]);
    let namespaces = Namespaces::new(&user, 40);
    let all = user.attach(&namespaces, 4);
    assert_eq!(all.len(), 40);
    drop(flushing);
    for one in &all {
        let is_whole = || {
            let listed =
                site.host.try_run(["nft", "-s", "list", "set", "bridge", "v6pod", "addresses"]).stdout;
            if listed.contains(&one.address) { Ok(()) } else { Err(listed) }
        };
        eventually(SOON, is_whole);
    }
    is_guarded(&site);
    namespaces.kill();
}

#[test]
fn the_guard_outlives_the_daemon() {
    let mut site = Site::new(PREFIX);
    let before = rules(&site);
    let traffic = Traffic::new(&site);
    site.daemon.kill9();
    assert_eq!(rules(&site), before);
    assert_eq!(site.fire(ATTACKS), Seen::default(), "while the daemon is dead");
    site.daemon.start();
    assert_eq!(rules(&site), before);
    is_guarded(&site);
    site.daemon.restart();
    assert_eq!(rules(&site), before);
    traffic.lost_nothing();
}

#[test]
fn a_start_makes_sets_and_attachments_agree() {
    let mut site = Site::new(PREFIX);
    let before = rules(&site);
    site.daemon.kill9();
    // Somebody is missing, and somebody is there who should not be.
    site.host.run(["nft", "flush", "set", "bridge", "v6pod", "addresses"]);
    site.host.sh("nft 'add element bridge v6pod senders { \"v6p000000000000\" . 02:00:00:00:00:01 }'");
    site.daemon.start();
    assert_eq!(rules(&site), before);
    // The same where there is nothing at all.
    site.daemon.kill9();
    site.host.run(["nft", "flush", "ruleset"]);
    site.daemon.start();
    assert_eq!(rules(&site), before);
    is_guarded(&site);
}

#[test]
fn it_can_be_turned_off_and_on_with_containers_running() {
    let mut site = Site::new(PREFIX);
    let before = rules(&site);
    let traffic = Traffic::new(&site);
    site.daemon.configure(OFF);
    site.daemon.restart();
    assert_eq!(rules(&site), "", "rules that let nobody new in may not stay");
    assert!(!site.fire(&["address-unused"]).host.is_empty());
    site.daemon.configure(PREFIX);
    site.daemon.restart();
    assert_eq!(rules(&site), before);
    is_guarded(&site);
    traffic.lost_nothing();
}

#[test]
fn check_tells_what_the_guard_lacks() {
    let site = Site::new(PREFIX);
    for (change, problem) in [
        ("flush set bridge v6pod addresses", "addresses"),
        ("flush chain inet v6pod prerouting", "rules"),
        ("delete table bridge v6pod", "the guard does not know it"),
    ] {
        // Restored each time, but taken away again before long: some questions are asked in between.
        let undoing = site.host.spawn(["bash", "-c", &format!("while :; do nft {change} 2>/dev/null; done")]);
        eventually(LATER, || {
            let problems = site.check(&site.victim);
            if problems.iter().any(|found| found.contains(problem)) {
                Ok(())
            } else {
                Err(problems.join("; "))
            }
        });
        drop(undoing);
        eventually(SOON, || {
            let problems = site.check(&site.victim);
            if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
        });
    }
}

//! As systemd 219 starts it, stops it, watches it, and keeps its leases.

use v6pod_integration::{LATER, Namespaces, eventually, test_client};

use crate::old_site::{PREFIX, SOCKET, Site, Unit};

/// The messages that the stand-in got from the main process, the first lines of them.
fn messages(site: &Site) -> Vec<String> {
    let state = site.state();
    let messages = state["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().filter_map(|fields| fields[0].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_connection_starts_it_and_waits_until_it_is_ready() {
    let site = Site::new(Unit::default());
    assert_eq!(site.state()["starts"], 0);
    // systemd has made the socket, for everybody; nobody serves it yet.
    let status = site.v6pod(&["status"]).run();
    assert!(status.stdout.contains("v6podd"), "{status}");
    assert_eq!((&site.running()["starts"], site.state()["stored"].as_u64()), (&1.into(), Some(0)));
    assert_eq!(messages(&site)[0], "READY=1");
    assert_eq!(site.state()["status"], "0 attached; guard: nftables");
    // It serves the very socket that it was passed, and made none.
    let listening = site.host.run(["ss", "-xlHp", "src", SOCKET]).stdout;
    let holders = listening.lines().filter(|line| line.contains("v6podd")).collect::<Vec<_>>();
    assert!(listening.lines().count() == 1 && holders.len() == 1, "{listening}");
    // What was passed is not passed on.
    let fds = site.host.sh("cat /proc/$(pgrep -x v6podd)/fdinfo/3").stdout;
    let flags = fds.lines().find_map(|line| line.strip_prefix("flags:")).expect("proc_pid_fdinfo(5)");
    let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
    assert_eq!(flags & 0o2_000_000, 0o2_000_000, "O_CLOEXEC\n{fds}");
}

#[test]
fn a_lease_comes_back_from_the_store_where_proc_does_not_show_its_holder() {
    for (store, kept) in [("64", true), ("0", false)] {
        let site = Site::started(Unit { alone: true, store, ..Unit::default() });
        let namespaces = Namespaces::new(&site.alice, 1);
        let (mut client, _) = site.alice.hold(&namespaces, "held");
        site.until("it is stored", |state| (state["stored"] == 1) == kept);
        for order in ["kill SIGKILL", "kill SIGKILL", "restart"] {
            site.replaced(order);
            // Without the store it is taken for ended: so this shows what the store is good for.
            assert_eq!(site.names(), if kept { vec!["held"] } else { vec![] }, "{order}, {store}");
            site.until("it is stored", |state| state["stored"] == u64::from(kept));
        }
        // The lease that came back is watched, and forgotten when it ends.
        client.kill9();
        site.eventually_named(&[]);
        site.until("it is forgotten", |state| state["stored"] == 0);
    }
}

#[test]
fn a_lease_that_ended_while_it_was_away_is_noticed_at_the_start() {
    let site = Site::started(Unit { alone: true, ..Unit::default() });
    let (gone, still) = (Namespaces::new(&site.alice, 1), Namespaces::new(&site.alice, 1));
    let (mut client, _) = site.alice.hold(&gone, "gone");
    let (_client, _) = site.alice.hold(&still, "still");
    site.until("both are stored", |state| state["stored"] == 2);
    site.order("kill SIGSTOP");
    client.kill9();
    site.until("one is forgotten", |state| state["stored"] == 1);
    site.replaced("kill SIGKILL");
    assert_eq!(site.names(), ["still"]);
}

#[test]
fn a_daemon_that_hangs_is_replaced() {
    let site = Site::started(Unit { watchdog: "10", ..Unit::default() });
    let namespaces = Namespaces::new(&site.alice, 1);
    let (_client, _) = site.alice.hold(&namespaces, "held");
    // One that does not hang is not, twice as long: it tells four times as often as it has to.
    let fed = || messages(&site).iter().filter(|first| *first == "WATCHDOG=1").count();
    eventually(2 * LATER, || if fed() >= 8 { Ok(()) } else { Err(fed()) });
    assert_eq!((site.state()["watchdogs"].as_u64(), site.state()["starts"].as_u64()), (Some(0), Some(1)));
    site.order("kill SIGSTOP");
    site.until("it is replaced", |state| state["watchdogs"] == 1 && state["starts"] == 2);
    site.running();
    site.eventually_named(&["held"]);
}

#[test]
fn a_daemon_whose_attaches_hang_is_replaced() {
    // As many as there are threads for attaches; each user has one at a time.
    let users = &["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    let unit = Unit {
        watchdog: "10",
        program: "/usr/sbin/v6podd-fault",
        fault: "hang:attach.link",
        users,
        ..Unit::default()
    };
    let site = Site::started(unit);
    let namespaces: Vec<_> = users.iter().map(|name| Namespaces::new(&site.host.user(name), 1)).collect();
    let hang = |index: usize| {
        let user = site.host.user(users[index]);
        let client = test_client(&user, &["attach", "1"], &namespaces[index].lines()).spawn();
        let hanging = || site.systemd.log().matches("a thread hangs").count();
        eventually(LATER, || if hanging() > index { Ok(()) } else { Err(site.systemd.log()) });
        client
    };
    let mut clients: Vec<_> = (0..users.len() - 1).map(hang).collect();
    // One is left: others get on, and so does the probe.
    let fed = || messages(&site).iter().filter(|first| *first == "WATCHDOG=1").count();
    let before = fed();
    eventually(2 * LATER, || if fed() >= before + 8 { Ok(()) } else { Err(fed()) });
    assert_eq!(site.state()["watchdogs"], 0);
    clients.push(hang(users.len() - 1));
    site.until("it is ended", |state| state["watchdogs"] == 1);
    assert!(site.systemd.log().contains("the watchdog is not told"), "{}", site.systemd);
}

#[test]
fn a_reload_is_told_from_its_begin_to_its_end() {
    let site = Site::started(Unit::default());
    site.order("reload");
    eventually(LATER, || {
        let told = messages(&site);
        let order: Vec<_> = told.iter().filter(|first| !first.starts_with("STATUS=")).collect();
        if order == ["READY=1", "RELOADING=1", "READY=1"] { Ok(()) } else { Err(format!("{told:?}")) }
    });
    assert_eq!(site.running()["starts"], 1);
    assert!(site.systemd.log().contains("reloaded"), "{}", site.systemd);
    site.order("stop");
    let state = site.until("it has stopped", |state| state["state"] == "dead");
    assert_eq!(messages(&site).last().map(String::as_str), Some("STOPPING=1"), "{state}");
}

#[test]
fn each_line_has_its_priority_in_the_journal() {
    let site = Site::started(Unit::default());
    site.host.write("/etc/v6pod/v6podd.toml", "prefix = \"2001:db8:2::/80\"\n");
    site.order("reload");
    let log = eventually(LATER, || {
        let log = site.systemd.log();
        if log.contains("not reloaded") { Ok(log) } else { Err(log) }
    });
    let priority = |text: &str| log.lines().find(|line| line.contains(text)).and_then(|line| line.get(..3));
    assert_eq!((priority(" ready "), priority("not reloaded")), (Some("<6>"), Some("<3>")), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<') && !line.contains('\u{1b}')), "{log}");
    // So has what ends it before there is a log.
    site.host.write("/etc/v6pod/v6podd.toml", "prefix = nonsense\nnor = this\n");
    site.order("restart");
    let wrong = |line: &str| line.starts_with("<3>v6podd: ");
    eventually(
        LATER,
        || if site.systemd.log().lines().any(wrong) { Ok(()) } else { Err(site.systemd.log()) },
    );
}

#[test]
fn another_socket_than_the_configured_one_is_refused_in_words() {
    let site = Site::new(Unit { sockets: "/run/other.sock", ..Unit::default() });
    let log = site.refused();
    assert!(log.contains("(/run/other.sock) is not /run/v6pod/v6pod.sock: make ListenStream="), "{log}");
    // Before anything was touched.
    assert!(!site.host.path("/var/lib/v6pod").exists(), "it made its state directory");

    let site = Site::new(Unit { sockets: "/run/v6pod/v6pod.sock /run/other.sock", ..Unit::default() });
    let log = site.refused();
    assert!(log.contains("2 sockets were passed"), "{log}");
}

#[test]
fn the_sockets_mode_is_the_configured_one() {
    let configuration = "prefix = \"2001:db8:1::/80\"\n[socket]\nmode = \"0600\"\n";
    let site = Site::new(Unit { configuration, ..Unit::default() });
    assert_eq!(site.host.run(["stat", "-c%a", SOCKET]).text(), "666");
    site.order("start");
    site.running();
    assert_eq!(site.host.run(["stat", "-c%a", SOCKET]).text(), "600");
    assert!(site.systemd.log().contains("SocketMode="), "{}", site.systemd);
    assert!(configuration.starts_with(PREFIX));
}

#[test]
fn what_is_for_another_process_is_left_alone() {
    // As if it were started by something that systemd passed a socket to: that has these variables too.
    let site = Site::new(Unit::default());
    let mut daemon = site.host.command(["env", "LISTEN_PID=1", "LISTEN_FDS=7", "v6podd"]).spawn();
    // It makes its own socket then, but for the stand-in, which listens there.
    daemon.wait(LATER);
    assert!(daemon.log().contains("or systemd for it: stop that one first"), "{daemon}");
}

/// What systemd keeps of one user's leases that hold nothing any more, at most.
const LEFT: u64 = 64;

#[test]
fn a_user_who_leaves_leases_open_does_not_fill_the_store() {
    let site = Site::started(Unit { store: "4096", users: &["alice", "bob"], ..Unit::default() });
    let namespaces = Namespaces::new(&site.alice, 1);
    // Each renews the attachment, and holds a lease of no more account.
    let clients: Vec<_> = (0..90).map(|_| site.alice.hold(&namespaces, "web").0).collect();
    let bob = site.host.user("bob");
    let bobs = Namespaces::new(&bob, 1);
    let stored = || site.state()["stored"].as_u64().expect("a number");
    let alices = stored();
    let (bobs_client, _) = bob.hold(&bobs, "bobs");
    site.until("another's is kept", |state| state["stored"].as_u64() > Some(alices));
    // The last one of the attachment's, and bob's.
    assert!((LEFT..=LEFT + 2).contains(&stored()), "{} of {}", stored(), clients.len() + 1);
    // What is not kept is found where it is held.
    site.replaced("kill SIGKILL");
    assert_eq!(site.names(), ["web", "bobs"]);
    drop((clients, bobs_client));
    site.eventually_named(&[]);
    site.until("all are forgotten", |state| state["stored"] == 0);
}

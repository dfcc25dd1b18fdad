//! Hundreds of namespaces at once, and thousands of cycles: every address is unique, nothing is left, and
//! the daemon is as big afterwards as before.
//!
//! What it took is printed: `cargo test --package v6pod-integration --test scale -- --nocapture`.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use v6pod_integration::{
    Attached, Background, Daemon, Host, LATER, Namespaces, Snapshot, UNLIMITED, User, attached, eventually,
    test_client,
};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
/// Namespaces of each user.
const EACH: usize = 100;
/// Attached at the same time: 16 + 17 + 17.
const PARALLEL: [usize; 3] = [16, 17, 17];

/// By how much the daemon's memory may grow between the first round and the last, in KiB: addresses that
/// rest and events that are kept fill up, and settle after ten rounds or so. A leak of 1 KiB for each
/// attachment would exceed it.
const SLACK: i64 = 1024;

/// By how much it may grow at all, in KiB: what the first round leaves in the allocator's hands.
const FIRST: i64 = 8 * 1024;

/// A host with three users and its daemon.
struct Site {
    daemon: Daemon,
    users: Vec<User>,
    host: Host,
}

/// What the daemon holds at rest.
#[derive(Debug, Clone, Copy)]
struct Size {
    descriptors: usize,
    threads: usize,
    /// VmRSS in KiB.
    memory: i64,
}

impl Site {
    fn new() -> Self {
        let host = Host::new("one", &USERS);
        let daemon = host.daemon(&format!("prefix = \"2001:db8:1::/80\"\n{UNLIMITED}"));
        let users = USERS.iter().map(|name| host.user(name)).collect();
        Self { daemon, users, host }
    }

    fn namespaces(&self) -> Vec<Namespaces> {
        let make = |user| move || Namespaces::new(user, EACH);
        thread::scope(|scope| {
            let makers: Vec<_> = self.users.iter().map(|user| scope.spawn(make(user))).collect();
            makers.into_iter().map(|maker| maker.join().expect("namespaces")).collect()
        })
    }

    /// Does something as each user at the same time.
    fn together<T: Send>(&self, work: impl Fn(usize, &User) -> T + Sync) -> Vec<T> {
        let work = &work;
        thread::scope(|scope| {
            let users = self.users.iter().enumerate();
            let workers: Vec<_> = users.map(|(index, user)| scope.spawn(move || work(index, user))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
        })
    }

    fn attach(&self, namespaces: &[Namespaces]) -> Vec<Vec<Attached>> {
        self.together(|index, user| user.attach(&namespaces[index], PARALLEL[index]))
    }

    fn detach(&self, made: &[Vec<Attached>]) {
        self.together(|index, user| {
            let ids: String = made[index].iter().map(|attached| format!("{}\n", attached.id)).collect();
            test_client(user, &["detach", &PARALLEL[index].to_string()], &ids).run();
        });
    }

    /// A file of the daemon's under /proc.
    fn proc(&mut self, name: &str) -> String {
        format!("/proc/{}/{name}", self.daemon.process().pid().as_raw_nonzero())
    }

    fn size(&mut self) -> Size {
        let descriptors = fs::read_dir(self.proc("fd")).expect("the daemon runs").count();
        let status = fs::read_to_string(self.proc("status")).expect("the daemon runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()).expect("a field of status(5)");
            number.parse().expect("a number")
        };
        let threads = usize::try_from(field("Threads:")).expect("a count");
        Size { descriptors, threads, memory: field("VmRSS:") }
    }

    /// What the daemon holds once the last connection is closed.
    fn size_at_rest(&mut self) -> Size {
        let mut last = self.size();
        eventually(LATER, || {
            thread::sleep(Duration::from_millis(300));
            let now = self.size();
            let same = now.descriptors == last.descriptors;
            last = now;
            if same { Ok(now) } else { Err(format!("not at rest: {now:?}")) }
        })
    }

    /// Waits until the daemon has as few descriptors and threads as before.
    #[track_caller]
    fn shrinks_to(&mut self, before: Size) -> Size {
        eventually(LATER, || {
            let now = self.size();
            let same = now.descriptors == before.descriptors && now.threads <= before.threads;
            if same { Ok(now) } else { Err(format!("{now:?}, before {before:?}")) }
        })
    }

    /// Whether nothing is left of any attachment.
    fn is_empty(&self) -> Result<(), String> {
        let records = fs::read_dir(self.host.path("/var/lib/v6pod/attachments")).expect("records").count();
        let links = self.host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.lines().count();
        if (records, links) == (0, 0) { Ok(()) } else { Err(format!("{records} records, {links} links")) }
    }

    /// What the host is like with nothing attached. A bridge is not what it was before its first port.
    fn at_rest(&self) -> Snapshot {
        let namespaces = Namespaces::new(&self.users[0], 1);
        self.users[0].attach(&namespaces, 1);
        namespaces.kill();
        self.settle();
        self.host.snapshot()
    }

    fn settle(&self) {
        eventually(LATER, || self.is_empty());
        eventually(LATER, || match self.host.run(["ip", "-o", "netns", "list-id"]).text() {
            "" => Ok(()),
            text => Err(text.to_owned()),
        });
    }
}

/// Panics unless these are 300, with 300 addresses of the prefix.
#[track_caller]
fn are_unique(made: &[Vec<Attached>]) {
    let addresses: BTreeSet<_> = made.iter().flatten().map(|attached| &attached.address).collect();
    let ids: BTreeSet<_> = made.iter().flatten().map(|attached| &attached.id).collect();
    assert_eq!((addresses.len(), ids.len()), (USERS.len() * EACH, USERS.len() * EACH));
    assert!(addresses.iter().all(|address| address.starts_with("2001:db8:1::")));
}

fn report(what: &str, took: Duration, made: &[Vec<Attached>]) {
    let mut each: Vec<_> = made.iter().flatten().map(|attached| attached.took).collect();
    each.sort_unstable();
    let at = |share: usize| each[(each.len() - 1) * share / 100];
    eprintln!("{what}: {took:.2?}; one, among 50 at a time: p50 {:.1?}, p99 {:.1?}", at(50), at(99));
}

#[test]
fn three_hundred_are_attached_and_detached() {
    let mut site = Site::new();
    let at_rest = site.at_rest();
    let before = site.size_at_rest();
    let mut sizes = Vec::new();
    for round in 0..4 {
        let namespaces = site.namespaces();
        let start = Instant::now();
        let made = site.attach(&namespaces);
        report("attaching 300", start.elapsed(), &made);
        are_unique(&made);
        reaches_the_host(&site, &namespaces, &made);
        eprintln!("round {round}: at its biggest {:?}", site.size());

        let start = Instant::now();
        site.detach(&made);
        eprintln!("detaching 300: {:.2?}", start.elapsed());
        // Not in a moment: whoever detached was told that it is gone.
        site.is_empty().expect("nothing is left");
        sizes.push(site.shrinks_to(before));
        namespaces.into_iter().for_each(Namespaces::kill);
        eventually(LATER, || at_rest.same_as(&site.host.snapshot()));
    }
    eprintln!("before {before:?}, after each round {sizes:?}");
    let growth = sizes[3].memory - sizes[0].memory;
    assert!(growth < SLACK, "VmRSS grew by {growth} KiB from the first round to the last: {sizes:?}");
    assert!(sizes[3].memory - before.memory < FIRST, "VmRSS grew: {before:?}, {sizes:?}");
}

/// The first of each user reaches the gateway, with its own address.
fn reaches_the_host(site: &Site, namespaces: &[Namespaces], made: &[Vec<Attached>]) {
    for (namespaces, made) in namespaces.iter().zip(made) {
        namespaces.inside(&["ping", "-6", "-c1", "-W2", "2001:db8:1::1"]).run();
        site.host.run(["ping", "-6", "-c1", "-W2", &made[EACH - 1].address]);
    }
}

#[test]
fn three_hundred_namespaces_end_at_once() {
    let mut site = Site::new();
    let at_rest = site.at_rest();
    let before = site.size_at_rest();
    for _ in 0..2 {
        let namespaces = site.namespaces();
        are_unique(&site.attach(&namespaces));
        let start = Instant::now();
        thread::scope(|scope| {
            for namespaces in namespaces {
                scope.spawn(|| namespaces.kill());
            }
        });
        eventually(LATER, || site.is_empty());
        eprintln!("300 namespaces ended, and all of theirs was gone after {:.2?}", start.elapsed());
        site.shrinks_to(before);
        eventually(LATER, || at_rest.same_as(&site.host.snapshot()));
    }
}

#[test]
fn three_hundred_leases_end_at_once() {
    let mut site = Site::new();
    site.at_rest();
    let before = site.size_at_rest();
    let namespaces = site.namespaces();
    let mut clients: Vec<Background> = site.together(|index, user| {
        test_client(user, &["attach", &PARALLEL[index].to_string(), "hold"], &namespaces[index].lines())
            .spawn()
    });
    let made: Vec<_> = clients
        .iter()
        .map(|client| {
            eventually(LATER, || {
                Some(attached(&client.log())).filter(|made| made.len() == EACH).ok_or("not all")
            })
        })
        .collect();
    are_unique(&made);
    assert_eq!(site.size().descriptors, before.descriptors + USERS.len() * EACH, "one for each lease");

    // All are found again by the next start.
    site.daemon.kill9();
    let start = Instant::now();
    site.daemon.start();
    eprintln!("300 leases: ready again after {:.2?}", start.elapsed());
    eventually(LATER, || {
        let held = site.size().descriptors;
        if held == before.descriptors + USERS.len() * EACH {
            Ok(())
        } else {
            Err(format!("{held} descriptors"))
        }
    });
    let start = Instant::now();
    clients.iter_mut().for_each(Background::kill9);
    eventually(LATER, || site.is_empty());
    eprintln!("300 leases ended, and all of theirs was gone after {:.2?}", start.elapsed());
    site.shrinks_to(before);
}

#[test]
fn case_31_a_thousand_cycles_of_one_namespace_keep_nothing() {
    const COUNT: u32 = 1000;
    let mut site = Site::new();
    let at_rest = site.at_rest();
    let alice = site.users[0].clone();
    let namespaces = Namespaces::new(&alice, 1);
    let pid = namespaces.pids()[0].to_string();
    let cycles = |count: u32| {
        let start = Instant::now();
        test_client(&alice, &["cycle", &count.to_string(), &pid], "").run();
        start.elapsed()
    };
    cycles(COUNT / 10);
    let before = site.size_at_rest();
    let took = cycles(COUNT);
    let after = site.shrinks_to(before);
    eprintln!("{COUNT} cycles: {took:.2?}, {:.2?} each; before {before:?}, after {after:?}", took / COUNT);
    assert!(after.memory - before.memory < SLACK, "VmRSS grew: {before:?}, {after:?}");
    let links = fs::read_dir(site.proc("fd")).expect("the daemon runs").flatten();
    let links: Vec<_> = links.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let kept: Vec<_> = links.iter().filter(|link| link.to_string_lossy().starts_with("net:")).collect();
    assert!(kept.is_empty(), "namespaces are kept open: {kept:?}");
    site.is_empty().expect("nothing is left");

    // A veth goes with the namespace of its other end, so the mark tells when the namespace is freed.
    site.host.run(["ip", "link", "add", "mark", "type", "veth", "peer", "name", "far", "netns", &pid]);
    namespaces.kill();
    eventually(LATER, || {
        let mark = site.host.try_run(["ip", "link", "show", "mark"]);
        if mark.success() { Err("the dead namespace is still there") } else { Ok(()) }
    });
    eventually(LATER, || at_rest.same_as(&site.host.snapshot()));
}

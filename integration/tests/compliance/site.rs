//! Three hosts on one net: with Debian's slirp4netns, with the wrapper and v6podd, with the wrapper alone.

use std::{fmt::Write as _, thread, time::Duration};

use v6pod_integration::{Background, Daemon, Host, LATER, Link, Net, eventually};

use crate::{
    allowed::{self, Way},
    case::Case,
};

/// What was seen of one run: what kind of thing, and what.
pub type Record = Vec<(String, String)>;

/// A host with the user alice, its servers, and where slirp4netns is found in it.
struct Place {
    host: Host,
    link: Link,
    path: &'static str,
    _daemon: Option<Daemon>,
    _server: Background,
}

/// `PATH` where slirp4netns is Debian's, and where it is the wrapper.
const REAL: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
const WRAPPED: &str = "/usr/libexec/v6pod:/usr/bin:/bin:/usr/sbin:/sbin";

/// Tells a client its address, or just `the host`.
const WHO: &str = "SYSTEM:echo $SOCAT_PEERADDR";
const IT: &str = "SYSTEM:echo the host";

impl Place {
    #[track_caller]
    fn new(net: &Net, name: &str, path: &'static str, with_daemon: bool) -> Self {
        let builder = Host::builder(name).user("alice");
        let host = if path == REAL { builder.without_wrapper() } else { builder }.build();
        let link = net.join(&host);
        host.write("/etc/resolv.conf", format!("nameserver {}\n", Net::OUTSIDE_V4));
        // slirp4netns pings with sockets that not every host lets users have.
        host.sh(&format!(
            "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range; ip address add {}/24 dev eth0",
            other(&link)
        ));
        let server = host.spawn(["socat", "TCP-LISTEN:7,bind=127.0.0.1,fork,reuseaddr", IT]);
        listens(&host, "tcp", "127.0.0.1:7");
        host.write("/tmp/engine.py", include_str!("engine.py"));
        let _daemon = with_daemon.then(|| host.daemon(&format!("prefix = \"{}\"\n", link.prefix)));
        Self { host, link, path, _daemon, _server: server }
    }

    /// Runs all cases, one after the other.
    #[track_caller]
    fn run(&self, cases: &[Case]) -> Vec<Record> {
        let uid = self.host.user("alice").uid().to_string();
        let engine =
            ["python3", "/tmp/engine.py", &uid, self.path, &self.link.address_v4, &other(&self.link)];
        let input = serde_json::to_vec(cases).expect("cases are JSON");
        let output = self.host.command(engine).input(input).limit(Duration::from_secs(120)).run();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("no records: {error}\n{output}"))
    }
}

/// The second address of a host on its link.
fn other(link: &Link) -> String {
    format!("{}3", link.address_v4.trim_end_matches('2'))
}

/// Waits until something listens there.
#[track_caller]
fn listens(host: &Host, protocol: &str, address: &str) {
    let option = format!("-Hln{}", &protocol[..1]);
    eventually(LATER, || match host.run(["ss", &option]) {
        shown if shown.stdout.contains(&format!(" {address} ")) => Ok(()),
        shown => Err(format!("nothing listens on {address}\n{shown}")),
    });
}

/// The rest of the world: a name server, and a server that tells a client its address.
fn outside(net: &Net) -> [Background; 2] {
    let router = net.router();
    router.write("/tmp/upstream.py", include_str!("../names/upstream.py"));
    let servers = [
        router.spawn(["python3", "/tmp/upstream.py", Net::OUTSIDE_V4, "53"]),
        router.spawn(["socat", "TCP-LISTEN:7,fork,reuseaddr", WHO]),
    ];
    listens(router, "udp", &format!("{}:53", Net::OUTSIDE_V4));
    listens(router, "tcp", "0.0.0.0:7");
    servers
}

/// Runs all cases in all three hosts and compares.
#[track_caller]
pub fn compare(cases: &[Case]) {
    let mut all = cases.to_vec();
    let equals: Vec<usize> = cases.iter().enumerate().map(|(at, case)| equal(&mut all, at, case)).collect();
    let [real, answered, away] = run_everywhere(&all, cases);
    let mut wrong = String::new();
    for (at, case) in cases.iter().enumerate() {
        let found = [
            shown(case, &real[at]),
            allowed::compare(case, Way::Away, &real[at], away[at].clone()),
            allowed::compare(case, Way::Answered, &real[equals[at]], answered[at].clone()),
        ];
        for problem in found.iter().filter(|problem| !problem.is_empty()) {
            let Case { under, line, steps, .. } = case;
            write!(wrong, "\n{under} slirp4netns {line}\n  {steps:?}\n{problem}").expect("a string takes it");
        }
    }
    assert!(wrong.is_empty(), "the wrapper is not like slirp4netns\n{wrong}");
}

/// Which case the real one has to run to be compared with the wrapper when v6podd answers: the one at `at`, or
/// another that is added.
fn equal(all: &mut Vec<Case>, at: usize, case: &Case) -> usize {
    let line = allowed::line_when_answered(case);
    if line == case.line {
        return at;
    }
    all.push(Case { line, ..*case });
    all.len() - 1
}

/// The records of the real one's cases, and of the wrapper's with v6podd and without.
#[track_caller]
fn run_everywhere(reals: &[Case], wrappers: &[Case]) -> [Vec<Record>; 3] {
    let net = Net::new();
    let _outside = outside(&net);
    let places = [
        (Place::new(&net, "real", REAL, false), reals),
        (Place::new(&net, "answered", WRAPPED, true), wrappers),
        (Place::new(&net, "away", WRAPPED, false), wrappers),
    ];
    thread::scope(|scope| {
        let runs = places.each_ref().map(|(place, cases)| scope.spawn(|| place.run(cases)));
        runs.map(|run| run.join().expect("a run"))
    })
}

/// What an entry says of the real one and is not so.
fn shown(case: &Case, record: &Record) -> String {
    let seen = allowed::lines(record);
    let is_seen = |text: &&&str| seen.iter().any(|line| line == **text);
    let missing: Vec<_> = case.shows.iter().filter(|text| !is_seen(text)).collect();
    let ends = !is_seen(&&"ends: not");
    if missing.is_empty() && !case.shows.is_empty() && ends {
        return String::new();
    }
    format!(
        "  of the real one has to be seen {missing:?}, and an end, but it was\n    {}\n",
        seen.join("\n    ")
    )
}

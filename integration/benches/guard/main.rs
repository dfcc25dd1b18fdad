//! `make bench`: what the guard costs those who use the network, beside the least that nftables can do.
//!
//! # How it is measured
//! Two containers on one bridge of a throw-away host. In each round the daemon is started with the guard, without
//! it, and without it beside [`ONE_RULE`], in turn forwards and backwards; the containers, their links and the
//! bridge are the same. Each time a TCP stream and UDP round trips go from one container to the other, over the
//! bridge, and from the host to one of them. Both ends are on one CPU: that is steadiest, and shows what the
//! guard adds at its largest. Ratios are medians of the rounds' own.
//!
//! Nothing here fails because it is slow; a target that was missed is shown as missed.

#[path = "../attach/stats.rs"]
#[allow(dead_code, reason = "the other bench needs more of it")]
mod stats;

use std::{
    env, fs,
    io::{self, Write as _},
    net::{Ipv6Addr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use v6pod_integration::{Attached, Background, Daemon, Host, Namespaces, eventually};

use crate::stats::Series;

/// Where this program is in the host.
const COPY: &str = "/usr/libexec/v6pod/bench";
const GATEWAY: &str = "2001:db8:1::1";
const PORT: u16 = 7;
const ROUND_TRIPS: u32 = 20_000;
/// The least that nftables can do for ports that are known by their names: what no guard made of it can be
/// cheaper than.
const ONE_RULE: &str = "table bridge one {
  chain prerouting {
    type filter hook prerouting priority -400
    iifname \"v6p*\" accept
  }
}";
const CPU: &str = "0";
const SECONDS: &str = "2";
const SOON: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let text = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["echo"] => echo(),
        ["trips", address] => trips(address.parse().expect("an address")),
        _ => report(&measure(
            env::var("V6POD_BENCH_ROUNDS").map_or(11, |text| text.parse().expect("a number")),
        )),
    };
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Sends back what comes.
fn echo() -> String {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).expect("a socket");
    let mut buffer = [0; 64];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("a packet");
        let _ = socket.send_to(&buffer[..length], from);
    }
}

/// Microseconds of a round trip, on the average.
fn trips(address: Ipv6Addr) -> String {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a socket");
    socket.connect((address, PORT)).and_then(|()| socket.set_read_timeout(Some(SOON))).expect("a socket");
    let mut buffer = [0; 64];
    let mut trip = || {
        socket.send(b"ping").and_then(|_| socket.recv(&mut buffer)).expect("an echo");
    };
    for _ in 0..100 {
        trip();
    }
    let start = Instant::now();
    for _ in 0..ROUND_TRIPS {
        trip();
    }
    format!("{}", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUND_TRIPS))
}

/// What is on the bridge. The numbers are places in [`Measured`].
#[derive(Clone, Copy, PartialEq)]
enum Rules {
    Guard = 0,
    None = 1,
    One = 2,
}

/// With each of [`Rules`].
#[derive(Default)]
struct Measured {
    between: [Series; 3],
    from_host: [Series; 3],
    trip: [Series; 3],
    trip_from_host: [Series; 3],
}

struct Site {
    daemon: Daemon,
    host: Host,
    client: Namespaces,
    server: Attached,
    _namespace: Namespaces,
    _servers: [Background; 2],
}

impl Site {
    fn new() -> Self {
        let host = Host::new("bench", &["alice"]);
        let daemon = host.daemon(&configuration(true));
        let alice = host.user("alice");
        let own = env::current_exe().and_then(fs::read).expect("the running program can be read");
        host.write(COPY, own);
        fs::set_permissions(host.path(COPY), fs::Permissions::from_mode(0o755)).expect("its own file");
        let (client, namespace) = (Namespaces::new(&alice, 1), Namespaces::new(&alice, 1));
        alice.attach(&client, 1);
        let server = alice.attach(&namespace, 1).remove(0);
        let servers = [
            &["taskset", "-c", CPU, "iperf3", "--server", "--forceflush"][..],
            &["taskset", "-c", CPU, COPY, "echo"],
        ]
        .map(|command| namespace.inside(command).spawn());
        eventually(SOON, || if servers[0].log().contains("listening") { Ok(()) } else { Err("iperf3") });
        Self { daemon, host, client, server, _namespace: namespace, _servers: servers }
    }

    fn with(&mut self, rules: Rules) {
        if rules != Rules::Guard {
            self.host.run(["nft", "flush", "ruleset"]);
        }
        self.daemon.configure(&configuration(rules == Rules::Guard));
        self.daemon.restart();
        if rules == Rules::One {
            self.host.write("/tmp/one.nft", ONE_RULE);
            self.host.run(["nft", "-f", "/tmp/one.nft"]);
        }
        let found = self.host.run(["nft", "list", "ruleset"]);
        let tables = ["table bridge v6pod", "table bridge one"].map(|table| found.stdout.contains(table));
        assert_eq!(tables, [rules == Rules::Guard, rules == Rules::One], "{found}");
    }

    fn measure(&self, measured: &mut Measured, at: usize) {
        let pinned = ["taskset", "-c", CPU];
        let client = ["iperf3", "--json", "--time", SECONDS, "--omit", "1", "--client", &self.server.address];
        let stream = [&pinned[..], &client].concat();
        let trips = [&pinned[..], &[COPY, "trips", &self.server.address]].concat();
        measured.between[at].push(gigabits(&self.client.inside(&stream).run().json()));
        measured.from_host[at].push(gigabits(&self.host.run(&stream).json()));
        let number = |text: &str| text.trim().parse().expect("a number");
        measured.trip[at].push(number(self.client.inside(&trips).run().text()));
        measured.trip_from_host[at].push(number(self.host.run(&trips).text()));
    }
}

fn configuration(guard: bool) -> String {
    let guard = if guard { "nftables" } else { "off" };
    format!("guard = \"{guard}\"\nprefix = \"{}/80\"\n", GATEWAY.trim_end_matches('1'))
}

fn gigabits(answer: &serde_json::Value) -> f64 {
    answer["end"]["sum_received"]["bits_per_second"].as_f64().expect("iperf3's sum") / 1e9
}

fn measure(rounds: usize) -> Measured {
    let mut site = Site::new();
    let mut measured = Measured::default();
    let mut order = [Rules::Guard, Rules::None, Rules::One];
    for _ in 0..rounds {
        for rules in order {
            site.with(rules);
            site.measure(&mut measured, rules as usize);
        }
        order.reverse();
    }
    measured
}

fn report(m: &Measured) -> String {
    let mut text =
        format!("\n{:<44}{:>9}{:>9}{:>9}{:>10}{:>9}\n", "", "none", "guard", "ratio", "one rule", "ratio");
    let mut row = |what: &str, [guard, none, one]: &[Series; 3]| {
        let medians = [none.median(), guard.median(), one.median()];
        let ratios = [guard.ratio(none), one.ratio(none)];
        text.push_str(&format!(
            "{what:<44}{:>9.2}{:>9.2}{:>9.3}{:>10.2}{:>9.3}\n",
            medians[0], medians[1], ratios[0], medians[2], ratios[1]
        ));
    };
    row("TCP between containers, Gbit/s", &m.between);
    row("TCP from the host to a container, Gbit/s", &m.from_host);
    row("UDP round trip between containers, us", &m.trip);
    row("UDP round trip from the host, us", &m.trip_from_host);
    let slow = [&m.between, &m.from_host].map(|[guard, none, _]| none.ratio(guard));
    let late = [&m.trip, &m.trip_from_host].map(|[guard, none, _]| guard.ratio(none));
    for (what, ratios) in [("throughput", slow), ("latency", late)] {
        let worst = ratios.into_iter().fold(0.0, f64::max);
        let verdict = if worst <= 1.03 { "met" } else { "MISSED" };
        text.push_str(&format!("{what}: at most 1.03 times worse with the guard: {worst:.3}, {verdict}\n"));
    }
    text
}

//! Going through the ways, round by round.

use std::{
    env,
    net::Ipv6Addr,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    BARE, CNI, V6POD,
    bare::Bare,
    cni,
    load::{Server, round_trip},
    namespace::{Namespace, gateway, start_echo},
    report,
    stats::Series,
    v6pod::Client,
};

const ROUNDS: u16 = 50;
/// Rounds that are not counted: the machine's caches are cold, the bridges new.
const WARM: u16 = 3;
/// Of what takes a second.
const FEW: u16 = 5;

/// Everything that is measured, in milliseconds unless it says otherwise.
#[derive(Default)]
pub struct Measured {
    /// The client's start until it executes slirp4netns.
    pub exec: Series,
    /// The client's start until the first reply.
    pub v6pod: Series,
    /// One call of Activate.
    pub activate: Series,
    /// One call of Deactivate.
    pub deactivate: Series,
    /// The end of the lease until the link is gone.
    pub lease: Series,
    /// The client's start until it executes slirp4netns, while no daemon listens.
    pub away: Series,
    /// CNI's ADD until the first reply.
    pub cni: Series,
    /// CNI's DEL.
    pub cni_del: Series,
    /// The netlink operations until the last answer.
    pub operations: Series,
    /// The netlink operations until the first reply.
    pub bare: Series,
    /// The netlink operations by a program of their own, from its start until the first reply.
    pub program: Series,
    /// The netlink operations that undo it.
    pub bare_del: Series,
    /// Gbit/s through v6pod's link, and through one made by hand.
    pub throughput: [Series; 2],
    /// Microseconds of a round trip, likewise.
    pub trip: [Series; 2],
}

/// Measures, and gives the report.
pub fn run(uid: u32) -> String {
    start_echo();
    let rounds = env::var(crate::ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let bench = Bench { uid, client: Client::new(uid), bare: Bare::new() };
    let mut measured = Measured::default();
    let mut ignored = Measured::default();
    // The namespaces stay until the end: their removal would hold up the rounds after.
    let mut kept = Vec::new();
    for round in 0..WARM + rounds {
        bench.round(round, if round < WARM { &mut ignored } else { &mut measured }, &mut kept);
    }
    bench.load(rounds, &mut measured);
    report::text(&measured)
}

struct Bench {
    uid: u32,
    client: Client,
    bare: Bare,
}

impl Bench {
    /// Every way once, each with a namespace of its own.
    fn round(&self, round: u16, into: &mut Measured, kept: &mut Vec<Namespace>) {
        let spaces: Vec<_> = (0..6).map(|_| Namespace::new(self.uid)).collect();

        let socket = spaces[0].socket();
        let (start, started) = self.client.attach(&container(0, round), &spaces[0]);
        socket.first_reply(gateway(V6POD));
        into.v6pod.add(start.elapsed());
        into.exec.add(started.until_exec);
        into.lease.add(started.end());

        let (attached, detached) = self.cni(&container(1, round), &spaces[1]);
        into.cni.add(attached);
        into.cni_del.add(detached);

        let socket = spaces[2].socket();
        let start = Instant::now();
        let attached = self.bare.attach(2 * round + 1, spaces[2].file());
        into.operations.add(start.elapsed());
        socket.first_reply(gateway(BARE));
        into.bare.add(start.elapsed());
        let start = Instant::now();
        self.bare.detach(&attached);
        into.bare_del.add(start.elapsed());

        let socket = spaces[5].socket();
        let start = Instant::now();
        let attached = Bare::attach_by_program(2 * round + 2, &spaces[5]);
        socket.first_reply(gateway(BARE));
        into.program.add(start.elapsed());
        self.bare.detach(&attached);

        let (attached, detached) = self.client.call(&container(3, round), &spaces[3]);
        into.activate.add(attached);
        into.deactivate.add(detached);

        let (_, started) = self.client.attach_to_nobody(&container(4, round), &spaces[4]);
        into.away.add(started.until_exec);
        started.end();
        kept.extend(spaces);
    }

    fn cni(&self, container: &str, namespace: &Namespace) -> (Duration, Duration) {
        let socket = namespace.socket();
        let start = Instant::now();
        cni::call("ADD", container, namespace);
        socket.first_reply(gateway(CNI));
        let attached = start.elapsed();
        let start = Instant::now();
        cni::call("DEL", container, namespace);
        (attached, start.elapsed())
    }

    /// Throughput and round trips, through v6pod's link and through one made by hand in turn.
    fn load(&self, rounds: u16, into: &mut Measured) {
        let ours = Namespace::new(self.uid);
        let (_, started) = self.client.attach(&container(5, 0), &ours);
        let hand = Namespace::new(self.uid);
        let by_hand: Ipv6Addr = by_hand(&hand);
        let links = [(&ours, gateway(V6POD)), (&hand, by_hand)];
        for (namespace, gateway) in links {
            namespace.socket().first_reply(gateway);
        }
        let server = Server::start();
        for _ in 0..rounds.min(FEW) {
            for (which, (namespace, gateway)) in links.into_iter().enumerate() {
                into.trip[which].push(round_trip(namespace, gateway));
                into.throughput[which].push(server.throughput(namespace, gateway));
            }
        }
        started.end();
    }
}

/// A veth pair into a bridge as one makes them at a shell.
fn by_hand(namespace: &Namespace) -> Ipv6Addr {
    let path = namespace.path();
    let pid = path.split('/').nth(2).expect("a path in /proc");
    let script = format!(
        "ip link add hand0 type bridge
        ip address add 2001:db8:4::1/80 dev hand0 nodad
        ip link add hand1 master hand0 type veth peer name eth0 netns {pid}
        nsenter --net={path} ip address add 2001:db8:4::2/80 dev eth0 nodad
        nsenter --net={path} ip link set eth0 up
        ip link set hand1 up
        ip link set hand0 up"
    );
    let status = Command::new("sh").args(["-ec", &script]).status();
    assert!(status.is_ok_and(|status| status.success()), "no link by hand");
    gateway("2001:db8:4::")
}

/// An id as podman's, different each time.
fn container(way: u8, round: u16) -> String {
    format!("{way:032x}{round:032x}")
}

//! A host with three containers of three users: an attacker, a victim, and the victim's neighbour.

use std::{
    collections::BTreeSet,
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use v6pod_integration::{Attached, Background, Daemon, Host, Namespaces, Output, User, eventually};

/// What a frame or a change of the rules may take.
pub const SOON: Duration = Duration::from_secs(2);
pub const LATER: Duration = Duration::from_secs(60);

pub const GATEWAY: &str = "2001:db8:1::1";
pub const BRIDGE: &str = "v6pod0";
pub const PREFIX: &str = "prefix = \"2001:db8:1::/80\"\n";
pub const OFF: &str = "guard = \"off\"\nprefix = \"2001:db8:1::/80\"\n";
/// What the attacker sends last: when it is there, so is all that came before it.
const TRACER: &str = "honest-udp";

const ATTACK: &str = include_str!("attack.py");
const WITNESS: &str = include_str!("witness.py");

/// A namespace that is attached.
pub struct Container {
    pub namespace: Namespaces,
    pub attached: Attached,
}

impl Container {
    /// Attaches a new namespace of a user's.
    #[track_caller]
    pub fn new(user: &User, name: &str) -> Self {
        let namespace = Namespaces::new(user, 1);
        let output = user.try_attach(&namespace, name).expect_success();
        let attached = v6pod_integration::attached(&output.stdout).remove(0);
        Self { namespace, attached }
    }

    /// Attaches a new namespace to a network, as a user with this primary group.
    #[track_caller]
    pub fn on(network: &str, user: &User, group: u32, name: &str) -> Self {
        let namespace = Namespaces::new(user, 1);
        let (uid, gid) = (format!("--reuid={}", user.uid()), format!("--regid={group}"));
        let pid = namespace.pids()[0].to_string();
        let attach = ["setpriv", &uid, &gid, "--clear-groups", "--", "v6pod", "--json", "attach"];
        let attach = [&attach[..], &["--network", network, "--name", name, &pid]].concat();
        let answer = user.host().run(attach).json();
        let text = |key: &str| answer["attachment"][key].as_str().unwrap_or_default().to_owned();
        let attached = Attached { id: text("id"), address: text("address"), took: Duration::ZERO };
        assert!(!attached.address.is_empty(), "{answer}");
        Self { namespace, attached }
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.attached.address
    }

    /// Its MAC, which the address ends in.
    pub fn mac(&self) -> String {
        let address: Ipv6Addr = self.address().parse().expect("an address");
        address.octets()[10..].iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
    }

    /// The host's end of its link.
    pub fn port(&self) -> String {
        format!("v6p{}", self.attached.id)
    }

    /// Runs a command in its network namespace; panics unless it succeeds.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.namespace.inside(arguments).run()
    }

    /// Runs a shell script there.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-euc", script])
    }

    /// One ping to an address.
    #[track_caller]
    pub fn ping(&self, address: &str) -> Result<(), Output> {
        reached(self.namespace.inside(&["ping", "-6", "-n", "-c1", "-W1", address]).try_run())
    }
}

/// Whether a command succeeded, for [`eventually`].
pub fn reached(output: Output) -> Result<(), Output> {
    if output.success() { Ok(()) } else { Err(output) }
}

/// The parts are dropped in this order.
pub struct Site {
    pub attacker: Container,
    pub victim: Container,
    pub neighbour: Container,
    pub daemon: Daemon,
    pub host: Host,
}

/// Whose interface got which of the attacker's frames.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub victim: BTreeSet<String>,
    pub host: BTreeSet<String>,
}

impl Site {
    /// With this configuration.
    #[track_caller]
    pub fn new(configuration: &str) -> Self {
        let users = ["alice", "bob", "carol"];
        let host = users.iter().fold(Host::builder("one"), |host, user| host.user(user));
        let host = host.without_wrapper().build();
        let daemon = host.daemon(configuration);
        let [attacker, victim, neighbour] = users.map(|user| Container::new(&host.user(user), user));
        Self { attacker, victim, neighbour, daemon, host }
    }

    /// The MAC of the bridge.
    #[track_caller]
    pub fn bridge_mac(&self) -> String {
        self.host.run(["cat", &format!("/sys/class/net/{BRIDGE}/address")]).text().to_owned()
    }

    /// Has the attacker send these.
    #[track_caller]
    pub fn send(&self, names: &[&str]) {
        self.send_as(&self.attacker.mac(), names);
    }

    /// Has the attacker, whose MAC is this now, send these.
    #[track_caller]
    pub fn send_as(&self, mac: &str, names: &[&str]) {
        let arguments = json!({
            "interface": "v6pod0",
            "me": {"mac": mac, "address": self.attacker.address()},
            "victim": {"mac": self.victim.mac(), "address": self.victim.address()},
            "router": {"mac": self.bridge_mac(), "address": GATEWAY},
            "neighbour": self.neighbour.address(),
            "names": names,
        });
        self.attacker.run(&["python3", "-c", ATTACK, &arguments.to_string()]);
    }

    /// Has the attacker send these, and tells what arrived.
    #[track_caller]
    pub fn fire(&self, names: &[&str]) -> Seen {
        let at_victim = self.victim.namespace.inside(&["python3", "-c", WITNESS, "v6pod0"]).spawn();
        let at_host = self.host.spawn(["python3", "-c", WITNESS, BRIDGE]);
        for witness in [&at_victim, &at_host] {
            wait_for(witness, "listening");
        }
        self.send(&[names, &[TRACER]].concat());
        for witness in [&at_victim, &at_host] {
            wait_for(witness, TRACER);
        }
        let seen = |witness: &Background| {
            let log = witness.log();
            log.lines().filter(|line| *line != "listening" && *line != TRACER).map(str::to_owned).collect()
        };
        Seen { victim: seen(&at_victim), host: seen(&at_host) }
    }

    /// A call of the API by root, and its answer.
    #[track_caller]
    pub fn call(&self, method: &str, request: &Value) -> Value {
        call(&self.host, method, request)
    }

    /// What is amiss with a container, according to the daemon.
    #[track_caller]
    pub fn check(&self, container: &Container) -> Vec<String> {
        let answer = self.call("Check", &json!({"id": container.attached.id}));
        let problems = answer["problems"].as_array().cloned().unwrap_or_default();
        problems.iter().map(|problem| problem.as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// A call of the API by root, and its answer.
#[track_caller]
pub fn call(host: &Host, method: &str, request: &Value) -> Value {
    let method = format!("v6pod.v1.Attachments/{method}");
    let request = request.to_string();
    let call = ["grpcurl", "-plaintext", "-unix", "-d", &request, "/run/v6pod/v6pod.sock", &method];
    host.run(call).json()
}

/// Waits until a program has said a line.
#[track_caller]
pub fn wait_for(program: &Background, line: &str) {
    eventually(LATER, || {
        if program.log().lines().any(|said| said == line) { Ok(()) } else { Err(program.log()) }
    });
}

/// Traffic of the victim's that must not suffer: pings from the host and to the neighbour, fifty a second.
pub struct Traffic {
    pings: Vec<Background>,
    since: Instant,
}

impl Traffic {
    #[track_caller]
    pub fn new(site: &Site) -> Self {
        let ping = ["ping", "-6", "-n", "-i", "0.02", "-W", "1"];
        let from_host = site.host.spawn(ping.iter().chain(&[site.victim.address()]));
        let to_neighbour = [&ping[..], &[site.neighbour.address()]].concat();
        let to_neighbour = site.victim.namespace.inside(&to_neighbour).spawn();
        let to_gateway = [&ping[..], &[GATEWAY]].concat();
        let to_gateway = site.victim.namespace.inside(&to_gateway).spawn();
        let pings = vec![from_host, to_neighbour, to_gateway];
        for ping in &pings {
            eventually(SOON, || if ping.log().contains("bytes from") { Ok(()) } else { Err(ping.log()) });
        }
        Self { pings, since: Instant::now() }
    }

    /// Ends it; panics if a packet was lost.
    #[track_caller]
    pub fn lost_nothing(mut self) {
        let least = u32::try_from(self.since.elapsed().as_millis() / 100).expect("a short time");
        for ping in &mut self.pings {
            ping.signal(v6pod_integration::Signal::INT);
            ping.wait(LATER);
            let log = ping.log();
            let number = |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse::<u32>().ok();
            let numbers: BTreeSet<_> = log.lines().filter_map(number).collect();
            let last = numbers.last().copied().unwrap_or_default();
            assert!(last > least, "{last} pings are too few\n{log}");
            assert_eq!(numbers.len(), last as usize, "lost some of {last} packets\n{log}");
        }
    }
}

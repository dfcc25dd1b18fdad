//! A host with a daemon, and what to look at in it.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use v6pod_integration::{
    Attached, Background, Consul, Daemon, Host, LATER, Namespaces, Output, Signal, Snapshot, User, eventually,
};

pub const GATEWAY: &str = "2001:db8:1::1";
/// How often the bystander is pinged.
const PACE: Duration = Duration::from_millis(50);
const CONFIGURATION: &str = "prefix = \"2001:db8:1::/80\"\n";
pub const SOCKET: &str = "/run/v6pod/v6pod.sock";

/// A host with a user, and its daemon.
pub struct Site {
    pub daemon: Daemon,
    pub consul: Option<Consul>,
    pub alice: User,
    pub host: Host,
}

impl Site {
    #[track_caller]
    pub fn new() -> Self {
        Self::with(&[], CONFIGURATION, None)
    }

    /// On a bridge that this script makes and the daemon only joins.
    #[track_caller]
    pub fn joined(bridge: &str, make: &str) -> Self {
        let host = Host::new("one", &["alice"]);
        host.sh(make);
        let network = format!("[network.default]\nprefix = \"2001:db8:1::/80\"\njoin = \"{bridge}\"\n");
        let daemon = host.daemon(&network);
        Self { daemon, consul: None, alice: host.user("alice"), host }
    }

    /// With a Consul agent.
    #[track_caller]
    pub fn with_consul() -> Self {
        let configuration = format!("{CONFIGURATION}[consul]\nprobation = 1\nsync = 1\n");
        Self::with(&["bob"], &configuration, Some(Consul::in_memory))
    }

    #[track_caller]
    fn with(more: &[&str], configuration: &str, consul: Option<fn(&Host) -> Consul>) -> Self {
        let users: Vec<_> = ["alice"].iter().chain(more).copied().collect();
        let host = Host::new("one", &users);
        let consul = consul.map(|start| start(&host));
        let daemon = host.daemon(configuration);
        Self { daemon, consul, alice: host.user("alice"), host }
    }

    /// What the host is like with nothing attached. A bridge is not what it was before its first port.
    #[track_caller]
    pub fn at_rest(&self) -> Snapshot {
        let (namespace, _) = self.attach("first");
        namespace.kill();
        eventually(LATER, || self.only(&[]));
        let links = ["ip", "-o", "netns", "list-id"];
        eventually(LATER, || match self.host.run(links).text() {
            "" => Ok(()),
            text => Err(text.to_owned()),
        });
        self.host.snapshot()
    }

    /// Starts the daemon anew, to die or fail at a step.
    #[track_caller]
    pub fn restart_with(&mut self, fault: &str) {
        self.daemon.stop();
        self.daemon.fault(Some(fault)).start();
    }

    /// Waits until the daemon has died at the step it was told.
    #[track_caller]
    pub fn wait_for_death(&mut self) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.daemon.wait(LATER);
        assert_eq!(status.signal(), Some(9), "v6podd did not die as it was told\n{}", self.daemon.log());
    }

    /// Starts the daemon, which has ended, without a fault.
    #[track_caller]
    pub fn start(&mut self) {
        self.daemon.fault(None).start();
    }

    /// A call of the API by root, and its answer.
    #[track_caller]
    pub fn call(&self, method: &str, request: &Value) -> Value {
        self.try_call(method, request).expect_success().json()
    }

    #[track_caller]
    fn try_call(&self, method: &str, request: &Value) -> Output {
        let method = format!("v6pod.v1.Attachments/{method}");
        let request = request.to_string();
        let call = ["grpcurl", "-plaintext", "-unix", "-d", &request, SOCKET, &method];
        self.host.try_run(call)
    }

    /// The ids of all attachments.
    #[track_caller]
    pub fn list(&self) -> BTreeSet<String> {
        let answer = self.call("List", &json!({}));
        let list = answer["attachments"].as_array().cloned().unwrap_or_default();
        list.iter().map(|attachment| attachment["id"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// What is amiss with an attachment, according to the daemon.
    #[track_caller]
    pub fn check(&self, id: &str) -> Vec<String> {
        let answer = self.call("Check", &json!({"id": id}));
        let problems = answer["problems"].as_array().cloned().unwrap_or_default();
        problems.iter().map(|problem| problem.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Ends an attachment, whatever comes of it.
    #[track_caller]
    pub fn try_deactivate(&self, id: &str) -> Output {
        self.try_call("Deactivate", &json!({"id": id}))
    }

    /// What the built-in DNS says.
    #[track_caller]
    pub fn lookup(&self, name: &str) -> String {
        let server = format!("@{GATEWAY}");
        let name = format!("{name}.v6pod");
        let question = ["dig", &server, "+short", "+time=1", "+tries=1", &name, "AAAA"];
        self.host.try_run(question).text().to_owned()
    }

    /// The files in which attachments are recorded.
    pub fn records(&self) -> Vec<String> {
        let folder = self.host.path("/var/lib/v6pod/attachments");
        let entries = fs::read_dir(folder).expect("the state directory").filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The record of an attachment: its state and whether it has a lease.
    pub fn record(&self, id: &str) -> Option<(String, bool)> {
        let path = self.host.path(format!("/var/lib/v6pod/attachments/{id}.json"));
        let record: Value = serde_json::from_slice(&fs::read(path).ok()?).expect("a record is JSON");
        let attachment = &record["attachment"];
        Some((attachment["state"].as_str()?.to_owned(), attachment["lease"].is_object()))
    }

    /// Whether exactly these attachments are left, in every place where there could be more: the list, the
    /// records, the host's links, addresses, neighbours, forwarding entries and routes.
    #[track_caller]
    pub fn only(&self, expected: &[&str]) -> Result<(), String> {
        let expected: BTreeSet<String> = expected.iter().map(|id| (*id).to_owned()).collect();
        let records: BTreeSet<String> =
            self.records().iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
        let links = self.host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout;
        let links: BTreeSet<String> =
            links.lines().filter_map(|line| Some(line.split_once("v6p")?.1.get(..12)?.to_owned())).collect();
        let neighbours = self.host.run(["ip", "-6", "neigh", "show", "nud", "permanent"]).stdout;
        let entries = self.host.sh("bridge fdb show | grep -E 'dev v6p[0-9a-f]{12} .*static' || true").stdout;
        let same = self.list() == expected
            && records == expected
            && links == expected
            && neighbours.lines().count() == expected.len()
            && entries.lines().count() == expected.len();
        if same {
            return Ok(());
        }
        let listed = self.list();
        Err(format!(
            "expected {expected:?}\nlisted {listed:?}\nrecords {records:?}\nlinks {links:?}\n\
             neighbours\n{neighbours}forwarding entries\n{entries}"
        ))
    }

    /// Whether an attachment is whole: nothing amiss, its address answers, its name leads there.
    #[track_caller]
    pub fn whole(&self, attached: &Attached, name: &str) -> Result<(), String> {
        let problems = self.check(&attached.id);
        if !problems.is_empty() {
            return Err(format!("{problems:?}"));
        }
        let found = self.lookup(name);
        if found != attached.address {
            return Err(format!("{name} leads to {found:?} and not to {}", attached.address));
        }
        let ping = self.host.try_run(["ping", "-6", "-c1", "-W1", &attached.address]);
        if ping.success() { Ok(()) } else { Err(ping.to_string()) }
    }

    /// Whether Consul knows these names and no more.
    #[track_caller]
    pub fn consul_knows(&self, expected: &[&str]) -> Result<(), String> {
        let services = self.consul.as_ref().expect("this host has a Consul agent").get("agent/services");
        let services = services.as_object().cloned().unwrap_or_default();
        let mut names: Vec<_> = services.values().filter_map(|service| service["Service"].as_str()).collect();
        names.sort_unstable();
        if names == expected { Ok(()) } else { Err(format!("Consul knows {names:?} and not {expected:?}")) }
    }

    /// The attachment with this name.
    #[track_caller]
    pub fn named(&self, name: &str) -> Attached {
        let answer = self.call("List", &json!({"name": name}));
        let text = |key: &str| answer["attachments"][0][key].as_str().unwrap_or_default().to_owned();
        assert!(!text("id").is_empty(), "no attachment is named {name}: {answer}");
        Attached { id: text("id"), address: text("address"), took: Duration::ZERO }
    }

    /// Attaches a new namespace without a lease.
    #[track_caller]
    pub fn attach(&self, name: &str) -> (Namespaces, Attached) {
        let namespace = Namespaces::new(&self.alice, 1);
        let output = self.alice.try_attach(&namespace, name).expect_success();
        let attached = v6pod_integration::attached(&output.stdout).remove(0);
        (namespace, attached)
    }
}

/// A container that is up all the time, and what notices if it is not: a ping every 50 ms, and a TCP stream
/// from inside to the host.
pub struct Bystander {
    pub attached: Attached,
    since: Instant,
    ping: Background,
    stream: Background,
    _server: Background,
}

impl Bystander {
    #[track_caller]
    pub fn new(site: &Site) -> Self {
        let bob = site.host.user("bob");
        bob.podman(["run", "-d", "--name", "web", "busybox", "sleep", "10000"]);
        let attached = site.named("web");
        eventually(LATER, || site.whole(&attached, "web"));
        let server = site.host.spawn(["iperf3", "--server", "--forceflush", "--bind", GATEWAY]);
        eventually(LATER, || if server.log().contains("listening") { Ok(()) } else { Err(server.log()) });
        let stream =
            "iperf3 --client 2001:db8:1::1 --time 3600 --bitrate 2M --length 2K --interval 0.5 --forceflush";
        let stream = bob.container_net("web", stream.split(' ')).spawn();
        let ping =
            site.host.spawn(["ping", "-6", "-n", "-i", &PACE.as_secs_f32().to_string(), &attached.address]);
        Self { attached, since: Instant::now(), ping, stream, _server: server }
    }

    /// Ends the traffic; panics if anything of it was lost.
    #[track_caller]
    pub fn lost_nothing(mut self) {
        self.ping.signal(Signal::INT);
        self.ping.wait(LATER);
        let log = self.ping.log();
        let number = |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse::<u32>().ok();
        let numbers: BTreeSet<_> = log.lines().filter_map(number).collect();
        let last: u32 = numbers.last().copied().unwrap_or_default();
        assert!(PACE * last * 3 > self.since.elapsed(), "the ping was not running all the time\n{log}");
        let missing: Vec<_> = (1..=last).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty(), "lost {missing:?} of {last} packets");
        // Only the very last may be on its way still.
        let sent = format!("\n{} packets transmitted", last);
        let one_more = format!("\n{} packets transmitted", last + 1);
        assert!(log.contains(&sent) || log.contains(&one_more), "lost the end: {last}\n{log}");
        self.stream_went_on();
    }

    #[track_caller]
    fn stream_went_on(&mut self) {
        assert!(self.stream.is_running(), "the stream ended");
        self.stream.signal(Signal::INT);
        self.stream.wait(LATER);
        let log = self.stream.log();
        let intervals: Vec<_> = log.lines().take_while(|line| !line.contains("- - -")).collect();
        let intervals: Vec<_> = intervals.iter().filter(|line| line.contains(" sec ")).collect();
        assert!(!intervals.is_empty(), "the stream was not running\n{log}");
        let idle: Vec<_> = intervals.iter().filter(|line| line.contains(" 0.00 Bytes ")).collect();
        // The last one is cut short.
        assert!(
            idle.iter().all(|line| Some(line) == intervals.last().as_ref()),
            "the stream stood still\n{log}"
        );
    }
}

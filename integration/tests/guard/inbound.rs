//! What reaches a container that does not take everything, from the host, from other containers and from
//! other hosts; changed while it is in use.

use std::{thread, time::Duration};

use v6pod_integration::{Background, Daemon, Host, Net, Output, eventually};

use crate::site::{Container, GATEWAY, LATER, PREFIX, SOON, reached, wait_for};

/// A server of TCP and UDP that answers each line and datagram: the address for UDP, then ports.
const SERVER: &str = r#"
import socket, sys, threading
def tcp(port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=64)
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
def serve(peer):
    while line := peer.recv(1000):
        peer.sendall(b"tcp " + line)
def udp(port):
    receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    receiver.bind((sys.argv[1], port))
    while True:
        data, sender = receiver.recvfrom(9000)
        receiver.sendto(b"udp " + data, sender)
for port in map(int, sys.argv[2:]):
    for serve_port in tcp, udp:
        threading.Thread(target=serve_port, args=[port]).start()
print("listening", flush=True)
"#;

/// Asks a server once: `ask.py tcp|udp ADDRESS PORT [LENGTH]`.
const ASK: &str = r#"
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = b"x" * int(sys.argv[4] if len(sys.argv) > 4 else 5)
asker = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
asker.settimeout(1.5)
asker.connect((address, port))
asker.sendall(text)
assert asker.recv(9000).startswith(kind.encode())
"#;

/// Says a line every time it is told to, over one connection, and prints what comes back.
const TALK: &str = r#"
import socket, sys, time
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30, source_address=("::", 40000))
print("connected", flush=True)
number = 0
while True:
    peer.sendall(b"%d" % number)
    print(peer.recv(1000).decode(), flush=True)
    number += 1
    time.sleep(0.05)
"#;

/// Where a question comes from.
enum From<'a> {
    Host(&'a Host),
    Container(&'a Container),
}

impl From<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        match self {
            Self::Host(host) => host.try_run(arguments),
            Self::Container(container) => container.namespace.inside(arguments).try_run(),
        }
    }

    fn asks(&self, kind: &str, address: &str, port: &str) -> Result<(), Output> {
        reached(self.run(&["python3", "-c", ASK, kind, address, port]))
    }

    fn pings(&self, address: &str) -> Result<(), Output> {
        reached(self.run(&["ping", "-6", "-n", "-c1", "-W1", address]))
    }
}

/// A host in a small internet, with a container that serves and one that is its neighbour.
struct Site {
    guard: &'static str,
    _servers: [Background; 4],
    web: Container,
    neighbour: Container,
    daemon: Daemon,
    net: Net,
    host: Host,
}

impl Site {
    fn new(guard: &'static str) -> Self {
        let net = Net::new();
        let host = Host::builder("one").user("bob").user("carol").without_wrapper().build();
        net.join(&host);
        let daemon = host.daemon(&format!("guard = \"{guard}\"\n{PREFIX}"));
        let [web, neighbour] = ["bob", "carol"].map(|user| Container::new(&host.user(user), user));
        let command = |address| ["python3", "-c", SERVER, address, "80", "81", "443"];
        let servers = [
            web.namespace.inside(&command("::")).spawn(),
            neighbour.namespace.inside(&command("::")).spawn(),
            net.router().spawn(command(Net::OUTSIDE)),
            host.spawn(command("::")),
        ];
        for server in &servers {
            wait_for(server, "listening");
        }
        Self { guard, _servers: servers, web, neighbour, daemon, net, host }
    }

    /// As bob, the owner.
    fn v6pod(&self, arguments: &[&str]) -> Output {
        self.host.user("bob").run([&["v6pod"], arguments].concat())
    }

    /// Everything that could ask the container something.
    fn askers(&self) -> [(&str, From<'_>); 3] {
        [
            ("the host", From::Host(&self.host)),
            ("a neighbour", From::Container(&self.neighbour)),
            ("another host", From::Host(self.net.router())),
        ]
    }

    /// Whether these are what everybody reaches: TCP and UDP ports, and ping. All are asked at once, for those
    /// that answer nothing are waited for.
    #[track_caller]
    fn reaches(&self, expected: &[&str], ping: bool) {
        let address = self.web.address();
        let askers = self.askers();
        let found: Vec<_> = thread::scope(|scope| {
            let mut asked = Vec::new();
            for (who, asker) in &askers {
                for port in ["80/tcp", "80/udp", "81/tcp", "443/udp"] {
                    let (number, kind) = port.split_once('/').expect("a port");
                    let answer = scope.spawn(move || asker.asks(kind, address, number));
                    asked.push((who, port, expected.contains(&port), answer));
                }
                asked.push((who, "ping", ping, scope.spawn(move || asker.pings(address))));
            }
            asked
                .into_iter()
                .map(|(who, what, expected, answer)| (who, what, expected, answer.join().expect("an answer")))
                .collect()
        });
        for (who, what, expected, found) in found {
            assert_eq!(found.is_ok(), expected, "{who}, {what}: {found:?}");
        }
    }

    /// The container itself reaches everybody.
    #[track_caller]
    fn reaches_out(&self) {
        let web = From::Container(&self.web);
        for address in [GATEWAY, self.neighbour.address(), Net::OUTSIDE] {
            for kind in ["tcp", "udp"] {
                web.asks(kind, address, "443").unwrap_or_else(|output| panic!("{kind} {address}: {output}"));
            }
            web.pings(address).unwrap_or_else(|output| panic!("{address}: {output}"));
            // In several fragments, there and back.
            let large = ["python3", "-c", ASK, "udp", address, "443", "4000"];
            reached(web.run(&large)).unwrap_or_else(|output| panic!("{address}: {output}"));
        }
    }

    /// The rules that are there for containers that do not take everything.
    fn limits(&self) -> String {
        let list = match self.guard {
            "nftables" => "nft -s list ruleset | grep -F v6pod_inbound",
            // What is written last.
            _ => "ip6tables -w -S OUTPUT | grep -F V6POD-IN",
        };
        self.host.try_run(["sh", "-c", list]).stdout
    }

    fn limits_are_restored(&self) {
        self.host.run(["nft", "flush", "ruleset"]);
        let within = if self.guard == "nftables" { SOON } else { LATER };
        eventually(within, || if self.limits().is_empty() { Err("none") } else { Ok(()) });
    }
}

#[test]
fn ports_are_opened_and_closed_while_it_runs() {
    ports_are_opened_and_closed("nftables");
}

pub fn ports_are_opened_and_closed(guard: &'static str) {
    let mut site = Site::new(guard);
    const ALL: &[&str] = &["80/tcp", "80/udp", "81/tcp", "443/udp"];
    site.reaches(ALL, true);
    assert_eq!(site.limits(), "", "nothing of it before somebody asks for it");

    site.v6pod(&["expose", "bob", "80/tcp", "443/udp"]);
    site.reaches(&["80/tcp", "443/udp"], false);
    site.reaches_out();
    site.v6pod(&["expose", "bob", "80-90/tcp"]);
    site.reaches(&["80/tcp", "81/tcp", "443/udp"], false);
    site.v6pod(&["close", "bob", "80/tcp"]);
    site.reaches(&["81/tcp", "443/udp"], false);
    let shown = site.v6pod(&["show", "bob"]);
    assert!(shown.stdout.contains("81-90/tcp,443/udp"), "{shown}");

    site.v6pod(&["close", "bob"]);
    site.reaches(&[], false);
    site.reaches_out();
    // It is the record that says so.
    site.daemon.kill9();
    site.reaches(&[], false);
    site.daemon.start();
    site.reaches(&[], false);
    site.reaches_out();
    assert_eq!(site.v6pod(&["check", "bob"]).text(), "bob: all is well");
    site.limits_are_restored();
    site.reaches(&[], false);

    site.v6pod(&["expose", "bob", "--all"]);
    site.reaches(ALL, true);
    assert_eq!(site.limits(), "");
    // The neighbour took everything all the time.
    From::Host(&site.host).asks("tcp", site.neighbour.address(), "80").expect("it is open");
}

#[test]
fn it_is_asked_for_at_the_attach_and_is_nobody_elses_to_change() {
    let site = Site::new("nftables");
    let user = site.host.user("carol");
    let namespace = v6pod_integration::Namespaces::new(&user, 1);
    let pid = namespace.pids()[0].to_string();
    user.run(["v6pod", "attach", "--name", "shy", "--inbound", "established", &pid]);
    let show = user.run(["v6pod", "--json", "show", "shy"]).json();
    assert_eq!(show["attachment"]["inbound"], "established");
    let (id, address) =
        (show["attachment"]["id"].as_str().unwrap(), show["attachment"]["address"].as_str().unwrap());
    From::Host(&site.host).pings(address).expect_err("it takes nothing");
    let expose = |user: &str, inbound: &str| {
        let request = format!("{{\"id\": {id:?}, \"inbound\": {inbound:?}}}");
        let socket = "/run/v6pod/v6pod.sock";
        let call = ["grpcurl", "-plaintext", "-unix", "-d", &request, socket, "v6pod.v1.Attachments/Expose"];
        site.host.user(user).try_run(call)
    };
    let refused = expose("bob", "open").expect_failure();
    assert!(refused.stderr.contains("NotFound"), "{refused}");
    let malformed = expose("carol", "80/http").expect_failure();
    assert!(malformed.stderr.contains("InvalidArgument"), "{malformed}");
    From::Host(&site.host).pings(address).expect_err("it still takes nothing");
    expose("carol", "open").expect_success();
    From::Host(&site.host).pings(address).expect("it takes everything");
    expose("carol", "established").expect_success();
    // Gone without a trace.
    user.run(["v6pod", "detach", "shy"]);
    let rules = site.host.run(["nft", "-s", "list", "ruleset"]).stdout;
    assert!(site.limits().is_empty() && !rules.contains(id), "{rules}");
}

#[test]
fn conversations_go_on_and_cannot_be_begun_again() {
    conversations_go_on("nftables");
}

pub fn conversations_go_on(guard: &'static str) {
    let mut site = Site::new(guard);
    site.v6pod(&["expose", "bob", "443/tcp"]);
    // From outside to an open port, and from inside to a neighbour.
    let talk = |port| ["python3", "-c", TALK, site.web.address(), port];
    let into = site.neighbour.namespace.inside(&talk("443")).spawn();
    let out = ["python3", "-c", TALK, site.neighbour.address(), "80"];
    let out = site.web.namespace.inside(&out).spawn();
    let goes_on = |talk: &Background| {
        let said = talk.log().lines().count();
        eventually(LATER, || if talk.log().lines().count() > said + 3 { Ok(()) } else { Err(talk.log()) });
    };
    goes_on(&into);
    goes_on(&out);
    site.v6pod(&["close", "bob", "443/tcp"]);
    goes_on(&into);
    goes_on(&out);
    // Over a restart of the daemon, which writes all rules anew.
    site.daemon.restart();
    goes_on(&into);
    goes_on(&out);
    site.daemon.kill9();
    goes_on(&out);
    site.daemon.start();
    goes_on(&into);
    goes_on(&out);
    // Somebody flushes everything: the container's own next word is enough.
    site.limits_are_restored();
    goes_on(&out);
    drop(into);
    // The same ports, a new beginning: the port is closed now.
    let mut again = site.neighbour.namespace.inside(&talk("443")).spawn();
    let connected = |talk: &Background| talk.log().contains("connected");
    thread::sleep(Duration::from_secs(2));
    assert!(!connected(&again) || !again.is_running(), "{again}");
}

#[test]
fn errors_about_its_own_packets_reach_it() {
    errors_reach_it("nftables");
}

pub fn errors_reach_it(guard: &'static str) {
    let site = Site::new(guard);
    site.v6pod(&["close", "bob"]);
    // Nobody listens there: the neighbour's kernel says so, and the asker is told at once.
    let refused = r#"
import socket, sys
asker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
asker.settimeout(5)
asker.connect((sys.argv[1], 9))
asker.send(b"x")
try:
    asker.recv(10)
except ConnectionRefusedError:
    print("refused")
"#;
    for address in [site.neighbour.address(), GATEWAY, Net::OUTSIDE] {
        assert_eq!(site.web.run(&["python3", "-c", refused, address]).text(), "refused", "{address}");
    }
    // Too big for a link on the way: the host says so, the container learns the path's MTU, and all arrives.
    site.host.run(["ip", "link", "set", "eth0", "mtu", "1300"]);
    let web = From::Container(&site.web);
    reached(web.run(&["python3", "-c", ASK, "tcp", Net::OUTSIDE, "80", "9000"])).expect("it arrives");
    let route = site.web.run(&["ip", "-6", "route", "get", Net::OUTSIDE]);
    assert!(route.stdout.contains("mtu 1300"), "{route}");
}

#[test]
fn nobody_fills_anothers_conversations() {
    let site = Site::new("nftables");
    site.v6pod(&["close", "bob"]);
    site.host.user("carol").run(["v6pod", "close", "carol"]);
    // carol's container talks to more than anybody may at once.
    let flood = r#"
import socket, sys
sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for port in range(1, 20000):
    sender.sendto(b"x", (sys.argv[1], port))
"#;
    site.neighbour.run(&["python3", "-c", flood, GATEWAY]);
    let listed = site.host.run(["nft", "list", "table", "bridge", "v6pod_inbound"]).stdout;
    let remembered = listed.matches(" expires ").count();
    assert!((2000..=4200).contains(&remembered), "{remembered} conversations");
    From::Container(&site.neighbour).asks("udp", GATEWAY, "443").expect_err("it has no room left itself");
    let web = From::Container(&site.web);
    for kind in ["tcp", "udp"] {
        web.asks(kind, GATEWAY, "443").expect("bob's has");
    }
}

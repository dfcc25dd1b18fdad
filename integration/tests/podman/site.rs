//! A host on the net with its daemon, and what one asks of them.

use std::net::Ipv6Addr;

use serde_json::Value;
use v6pod_integration::{Daemon, Host, LATER, Link, Net, Output, User, eventually};

/// A host on the net, with its daemon.
pub struct Site {
    pub link: Link,
    pub daemon: Daemon,
    pub host: Host,
}

impl Site {
    /// A host with these users whose daemon has the prefix that is routed to it, and more configuration.
    pub fn new(net: &Net, name: &str, users: &[&str]) -> Self {
        let host = Host::new(name, users);
        let link = net.join(&host);
        let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
        Self { link, daemon, host }
    }

    /// All attachments, as root sees them.
    pub fn attachments(&self) -> Vec<Value> {
        let answer = self.host.run(["v6pod", "list", "--json"]);
        answer.json()["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// The published names of all attachments, sorted; one without a name is `-`.
    pub fn names(&self) -> Vec<String> {
        let name = |attachment: &Value| match attachment["name"].as_str() {
            Some("") | None => "-".to_owned(),
            Some(name) => name.to_owned(),
        };
        let mut names: Vec<_> = self.attachments().iter().map(name).collect();
        names.sort();
        names
    }

    /// What the built-in DNS says of a name.
    pub fn lookup(&self, name: &str) -> Vec<String> {
        let server = format!("@{}", self.link.gateway);
        let answer = self.host.run(["dig", "+short", "+tries=1", "+time=2", &server, name, "AAAA"]);
        answer.stdout.lines().map(str::to_owned).collect()
    }

    /// Waits until these names are published, and no others.
    #[track_caller]
    pub fn names_become(&self, wanted: &[&str]) {
        eventually(LATER, || {
            let names = self.names();
            if names == wanted { Ok(()) } else { Err(format!("{names:?}\n{}", self.daemon.log())) }
        });
    }

    /// Nothing of any attachment is left on the host.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        self.names_become(&[]);
        let links = self.host.run(["ip", "-o", "link"]);
        assert!(!links.stdout.contains("v6p") || !links.stdout.contains("veth"), "{links}");
        let neighbours = self.host.run(["ip", "-6", "neighbour", "show", "nud", "permanent"]);
        assert_eq!(neighbours.text(), "", "{neighbours}");
        let records = self.host.run(["ls", "/var/lib/v6pod/attachments"]);
        assert_eq!(records.text(), "", "{records}");
    }
}

/// The host's programs in a container: busybox' own, linked statically, cannot ask a resolver.
const PROGRAMS: [&str; 6] = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];

/// Runs a web server in a container of this name, with more options, and gives its address.
#[track_caller]
pub fn serve(user: &User, name: &str, options: &[&str]) -> String {
    // podman gives containers no right to raw sockets, which ping needs.
    let start = ["run", "-d", "--cap-add=NET_RAW", "--name", name]
        .into_iter()
        .chain(PROGRAMS)
        .chain(options.iter().copied());
    let server = ["busybox", "httpd", "-f", "-v", "-p", "[::]:80", "-h", "/var/www"];
    user.podman(start.chain(server));
    address(user, name)
}

/// The address that a running container has on `v6pod0`.
#[track_caller]
pub fn address(user: &User, container: &str) -> String {
    let shown = user
        .container_net(container, ["ip", "-6", "-o", "address", "show", "v6pod0", "scope", "global"])
        .run();
    found_address(&shown).unwrap_or_else(|| panic!("no address in {shown}"))
}

fn found_address(shown: &Output) -> Option<String> {
    let text = shown.stdout.split_whitespace().skip_while(|word| *word != "inet6").nth(1)?;
    let address = text.split('/').next()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(address.to_owned())
}

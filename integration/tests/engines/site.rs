//! A host whose users have another podman, and one way in which its containers get their address.

use std::net::Ipv6Addr;

use serde_json::Value;
use v6pod_integration::{Daemon, Host, LATER, Link, Net, User, eventually};

use crate::way::{self, Kind, Way};

/// A host on a net, with its daemon.
pub struct Site {
    pub way: Way,
    pub link: Link,
    pub daemon: Daemon,
    pub host: Host,
    pub net: Net,
}

impl Site {
    /// A site of the users alice and bob, ready for this way.
    pub fn new(way: Way) -> Self {
        Self::configured(way, |prefix| format!("prefix = \"{prefix}\"\n"))
    }

    /// The same with this configuration for the daemon.
    pub fn configured(way: Way, configuration: impl Fn(&str) -> String) -> Self {
        let site = Self::bare(way, configuration);
        let users = if way.is_rootful { vec![site.alice()] } else { vec![site.alice(), site.bob()] };
        way::prepare(&site, &users);
        site
    }

    /// A site whose podman knows nothing of v6pod yet but, perhaps, the stand-in.
    pub fn bare(way: Way, configuration: impl Fn(&str) -> String) -> Self {
        let net = Net::new();
        let builder = Host::builder("one").user("alice").user("bob");
        let builder = if way.release == "12" { builder } else { builder.engine(way.release) };
        let host = if way.kind == Kind::Wrapper { builder } else { builder.without_wrapper() }.build();
        let link = net.join(&host);
        let daemon = host.daemon(&configuration(&link.prefix));
        Self { way, link, daemon, host, net }
    }

    /// Who runs containers: alice, or root if it is root's podman.
    pub fn alice(&self) -> User {
        if self.way.is_rootful { self.host.root() } else { self.host.user("alice") }
    }

    /// Another one, if it is not root's podman.
    pub fn bob(&self) -> User {
        if self.way.is_rootful { self.host.root() } else { self.host.user("bob") }
    }

    /// Runs a web server in a container of this name, with more options, and gives its address.
    #[track_caller]
    pub fn serve(&self, user: &User, name: &str, options: &[&str]) -> String {
        let start = ["run", "-d", "--stop-timeout=0", "--cap-add=NET_RAW", "--name", name];
        let server = ["busybox", "httpd", "-f", "-p", "[::]:8080", "-h", "/var/www"];
        user.podman(start.iter().chain(self.way.options()).chain(options).chain(&server));
        self.address(user, name)
    }

    /// The one address that a running container has.
    #[track_caller]
    pub fn address(&self, user: &User, container: &str) -> String {
        let [address] = &self.addresses(user, container)[..] else {
            panic!("{:?}\n{}", self.addresses(user, container), self.daemon.log())
        };
        address.clone()
    }

    /// The addresses that a running container has of ours, whatever the interface.
    #[track_caller]
    pub fn addresses(&self, user: &User, container: &str) -> Vec<String> {
        let show = ["ip", "-6", "-o", "address", "show", "to", &self.link.prefix];
        let shown = user.container_net(container, show).run();
        let words: Vec<_> = shown.stdout.split_whitespace().collect();
        let pairs = words.windows(2).filter(|pair| pair[0] == "inet6");
        let address = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
        pairs.map(|pair| address(pair[1])).filter(|text| text.parse::<Ipv6Addr>().is_ok()).collect()
    }

    /// The host and another one on its link reach the web server of a container under its address, and it is
    /// found under its name.
    #[track_caller]
    pub fn is_served(&self, name: &str, address: &str) {
        eventually(LATER, || match &self.lookup(name)[..] {
            [found] if found == address => Ok(()),
            other => Err(format!("{name}: {other:?}, not {address}\n{}", self.daemon.log())),
        });
        self.host.run(["ping", "-6", "-c1", "-W2", address]);
        let page = self.net.router().run(["curl", "-sfm2", &format!("http://[{address}]:8080/")]);
        assert_eq!(page.text(), "hello from a container");
    }

    /// What the built-in DNS says of a name.
    pub fn lookup(&self, name: &str) -> Vec<String> {
        let (server, name) = (format!("@{}", self.link.gateway), format!("{name}.v6pod"));
        let answer = self.host.run(["dig", "+short", "+tries=1", "+time=2", &server, &name, "AAAA"]);
        answer.stdout.lines().map(str::to_owned).collect()
    }

    /// All attachments, as root sees them.
    pub fn attachments(&self) -> Vec<Value> {
        let answer = self.host.run(["v6pod", "list", "--json"]);
        answer.json()["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// There is no attachment.
    #[track_caller]
    pub fn nothing_is_attached(&self) {
        eventually(LATER, || match self.attachments() {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}\n{}", self.daemon.log())),
        });
    }

    /// Nothing of any attachment is left on the host.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        self.nothing_is_attached();
        let links = self.host.run(["ip", "-o", "link"]);
        assert!(!links.stdout.contains("veth") && !links.stdout.contains("v6p-"), "{links}");
        let neighbours = self.host.run(["ip", "-6", "neighbour", "show", "nud", "permanent"]);
        assert_eq!(neighbours.text(), "", "{neighbours}");
        let records = self.host.run(["ls", "/var/lib/v6pod/attachments"]);
        assert_eq!(records.text(), "", "{records}");
    }
}

//! A small internet: one router, and a point-to-point link from it to each host that joins.
//!
//! The host with number N (1 for the first to join) has
//! - `eth0` with 2001:db8:ffff:N::2/64 and 198.18.N.2/24, default routes to the router,
//! - the prefix 2001:db8:N::/80, routed to it by the router; using it is the daemon's business.
//!
//! The router forwards, and answers on [`Net::OUTSIDE`] and [`Net::OUTSIDE_V4`], which stand for all the rest
//! of the world.

use std::{
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::Host;

/// Indices of the router's links begin here. Where both ends of a pair have the same index, Linux does not
/// see that they belong together, and may take a second to notice that the link is up (net/core/link_watch.c,
/// `linkwatch_urgent_event`): until then nobody answers.
const ROUTER_INDEX: u32 = 1000;

/// A router and what is linked to it.
pub struct Net {
    router: Host,
    joined: AtomicU16,
}

/// A host's place in a [`Net`].
#[derive(Debug, Clone)]
pub struct Link {
    /// The /80 that is routed to the host.
    pub prefix: String,
    /// The first address of that prefix, which a bridge of the host's is expected to have.
    pub gateway: String,
    /// The host's own address on the link.
    pub address: String,
    /// The host's own IPv4 address on the link.
    pub address_v4: String,
    /// The router's address on the link.
    pub router: String,
    /// The link's name at the router's end; at the host's it is `eth0`.
    pub router_interface: String,
}

impl Net {
    /// An IPv6 address beyond the router.
    pub const OUTSIDE: &'static str = "2001:db8:ffff::1";
    /// An IPv4 address beyond the router.
    pub const OUTSIDE_V4: &'static str = "198.18.0.1";

    /// A router with nothing linked to it.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        let router = Host::builder("router").without_wrapper().build();
        batch(
            &router,
            &[
                format!("address add {}/128 dev lo nodad", Self::OUTSIDE),
                format!("address add {}/32 dev lo", Self::OUTSIDE_V4),
            ],
        );
        router.sh("echo 1 | tee /proc/sys/net/ipv6/conf/all/forwarding >/proc/sys/net/ipv4/ip_forward");
        Self { router, joined: AtomicU16::new(0) }
    }

    /// The router, to look at what passes through it or to break it.
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// Links a host to the router. The link goes when either of them does.
    #[track_caller]
    pub fn join(&self, host: &Host) -> Link {
        let number = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        let link = Link {
            prefix: format!("2001:db8:{number:x}::/80"),
            gateway: format!("2001:db8:{number:x}::1"),
            address: format!("2001:db8:ffff:{number:x}::2"),
            address_v4: format!("198.18.{number}.2"),
            router: format!("2001:db8:ffff:{number:x}::1"),
            router_interface: format!("to{number}"),
        };
        veth((&self.router, &link.router_interface, ROUTER_INDEX + u32::from(number)), (host, "eth0"));
        let router_v4 = format!("198.18.{number}.1");
        batch(
            &self.router,
            &[
                format!("address add {}/64 dev {} nodad", link.router, link.router_interface),
                format!("address add {router_v4}/24 dev {}", link.router_interface),
                format!("link set {} up", link.router_interface),
                format!("route add {} via {}", link.prefix, link.address),
            ],
        );
        batch(
            host,
            &[
                format!("address add {}/64 dev eth0 nodad", link.address),
                format!("address add {}/24 dev eth0", link.address_v4),
                "link set eth0 up".to_owned(),
                format!("route add default via {}", link.router),
                format!("route add default via {router_v4}"),
            ],
        );
        link
    }

    /// Takes a link down at the router's end, as if the cable were pulled.
    #[track_caller]
    pub fn cut(&self, link: &Link) {
        self.router.run(["ip", "link", "set", &link.router_interface, "down"]);
    }

    /// Mends a link that was cut.
    #[track_caller]
    pub fn mend(&self, link: &Link) {
        // The kernel dropped the routes with the link; the addresses it keeps only for IPv4.
        batch(
            &self.router,
            &[
                format!("link set {} up", link.router_interface),
                format!("address replace {}/64 dev {} nodad", link.router, link.router_interface),
                format!("route replace {} via {}", link.prefix, link.address),
            ],
        );
    }
}

/// Makes a veth pair whose ends are in two hosts from the start, the first with an index of its own: iproute2
/// does not pass on the other's.
#[track_caller]
fn veth((host, name, index): (&Host, &str, u32), other: (&Host, &str)) {
    let output = process::Command::new("ip")
        .args(["link", "add", name, "index", &index.to_string(), "netns", &host.pid().to_string()])
        .args(["type", "veth", "peer", "name", other.1, "netns", &other.0.pid().to_string()])
        .output()
        .expect("cannot start ip");
    assert!(output.status.success(), "ip link add: {}", String::from_utf8_lossy(&output.stderr));
    for (host, name) in [(host, name), other] {
        // Duplicate address detection takes a second, and the link-local addresses here are no duplicates.
        host.sh(&format!("echo 0 >/proc/sys/net/ipv6/conf/{name}/accept_dad"));
    }
}

/// Runs several commands of ip's in one go.
#[track_caller]
fn batch(host: &Host, lines: &[String]) {
    host.command(["ip", "-batch", "-"]).input(lines.join("\n")).run();
}

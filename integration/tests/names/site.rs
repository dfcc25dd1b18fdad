//! A host whose daemon publishes in Consul and in its own DNS.

use std::{
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use serde_json::Value;
use v6pod_integration::{Consul, Daemon, Host, LATER, User, eventually};

use crate::dig::{Answer, dig};

pub const PREFIX: &str = "2001:db8:1::/80";
pub const GATEWAY: &str = "2001:db8:1::1";
/// What names may take to be right once Consul is back: up to 30 s until it is tried again, and some for a busy machine;
/// the time after that is 60 s.
pub const BACK: Duration = Duration::from_secs(50);

/// Where Consul's DNS is.
const CONSUL: &str = "127.0.0.1#8600";

pub struct Site {
    pub daemon: Daemon,
    pub consul: Consul,
    pub host: Host,
}

impl Site {
    /// With a Consul that forgets.
    #[track_caller]
    pub fn new(users: &[&str]) -> Self {
        Self::with(users, Consul::in_memory, "")
    }

    /// With this Consul, and more in the daemon's `[consul]`.
    #[track_caller]
    pub fn with(users: &[&str], consul: fn(&Host) -> Consul, more: &str) -> Self {
        let host = Host::new("one", users);
        let consul = consul(&host);
        let daemon = host.daemon(&configuration(more));
        Self { daemon, consul, host }
    }

    /// What the built-in DNS says.
    pub fn dns(&self, question: &[&str]) -> Answer {
        dig(&self.host, GATEWAY, question)
    }

    /// What Consul says of the address of a name.
    pub fn asked_consul(&self, name: &str) -> Answer {
        dig(&self.host, CONSUL, &[&format!("{name}.service.consul"), "AAAA"])
    }

    /// Whether the name stands for this address, and the address for the name, in the built-in DNS.
    pub fn in_dns(&self, name: &str, address: &str) -> Result<(), String> {
        let name = format!("{name}.v6pod");
        let forward = self.dns(&[&name, "AAAA"]);
        let reverse = self.dns(&["-x", address]);
        if forward.is(address) && reverse.is(&format!("{name}.")) {
            return Ok(());
        }
        Err(format!("{name} of {address}: DNS says {forward} and {reverse}"))
    }

    /// Whether the name stands for this address in Consul.
    pub fn in_consul(&self, name: &str, address: &str) -> Result<(), String> {
        let answer = self.asked_consul(name);
        if answer.is(address) { Ok(()) } else { Err(format!("{name} of {address}: Consul says {answer}")) }
    }

    /// Whether neither DNS knows the name, nor the built-in one the address.
    pub fn absent(&self, name: &str, address: &str) -> Result<(), String> {
        let reverse = self.dns(&["-x", address]);
        if !reverse.is_absent() {
            return Err(format!("{address}: DNS says {reverse}"));
        }
        self.absent_in_dns(name).and_then(|()| self.absent_in_consul(name))
    }

    /// Whether the built-in DNS does not know the name.
    pub fn absent_in_dns(&self, name: &str) -> Result<(), String> {
        let answer = self.dns(&[&format!("{name}.v6pod"), "AAAA"]);
        if answer.is_absent() { Ok(()) } else { Err(format!("{name}: DNS says {answer}")) }
    }

    /// Whether Consul does not know the name.
    pub fn absent_in_consul(&self, name: &str) -> Result<(), String> {
        let answer = self.asked_consul(name);
        if answer.is_absent() { Ok(()) } else { Err(format!("{name}: Consul says {answer}")) }
    }

    /// Starts a container and waits until its name is known everywhere; gives its address, which it learns
    /// from the container itself.
    #[track_caller]
    pub fn start(&self, user: &User, name: &str) -> String {
        run(user, name);
        let address = address(user, name);
        eventually(LATER, || {
            self.in_dns(name, &address).and_then(|()| self.in_consul(name, &address)).map_err(|e| self.so(&e))
        });
        address
    }

    /// Waits until the name and the address are known nowhere, and gives how long that took.
    #[track_caller]
    pub fn ends(&self, name: &str, address: &str) -> Duration {
        let start = Instant::now();
        eventually(LATER, || self.absent(name, address).map_err(|error| self.so(&error)));
        let took = start.elapsed();
        eprintln!("{name} was gone {took:?} later");
        took
    }

    /// An error with the daemon's log.
    fn so(&self, error: &str) -> String {
        format!("{error}\n{}", self.daemon.log())
    }

    /// Asks the daemon itself, as root.
    #[track_caller]
    pub fn call(&self, method: &str) -> Value {
        let arguments = ["grpcurl", "-plaintext", "-emit-defaults", "-unix", "/run/v6pod/v6pod.sock", method];
        self.host.run(arguments).json()
    }

    /// How a registry is, by the daemon's own account.
    #[track_caller]
    pub fn registry(&self, kind: &str) -> Value {
        let status = self.call("v6pod.v1.Daemon/Status");
        let registries = status["registries"].as_array().expect("a list");
        registries.iter().find(|registry| registry["kind"] == kind).expect("this registry").clone()
    }
}

/// A configuration with both registries.
pub fn configuration(more: &str) -> String {
    format!("prefix = \"{PREFIX}\"\n[dns]\nforward = []\n[consul]\n{more}\n")
}

/// Starts a container that sleeps.
#[track_caller]
pub fn run(user: &User, name: &str) {
    user.podman(["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
}

/// Stops a container.
#[track_caller]
pub fn stop(user: &User, name: &str) {
    user.podman(["stop", "-t", "0", name]);
}

/// The address that a running container has on `v6pod0`.
#[track_caller]
pub fn address(user: &User, container: &str) -> String {
    let question = ["ip", "-6", "-o", "address", "show", "v6pod0", "scope", "global"];
    let shown = user.container_net(container, question).run();
    let text = shown.stdout.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
    let address = text.and_then(|text| text.split('/').next()).unwrap_or_default();
    address.parse::<Ipv6Addr>().unwrap_or_else(|_| panic!("no address in {shown}"));
    address.to_owned()
}

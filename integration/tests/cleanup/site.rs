//! A host on a network, what it was before, and cleaning up.

use serde_json::Value;
use v6pod_integration::{
    Attached, Daemon, Host, LATER, Link, Namespaces, Net, Output, Snapshot, User, eventually,
};

/// What cleaning up is called.
pub const CLEANUP: [&str; 3] = ["v6pod", "cleanup", "--all"];

/// Every readable sysctl of IPv4 and IPv6, but for those that are counters or measurements.
const SYSCTLS: &str = "grep -rs . /proc/sys/net/ipv4 /proc/sys/net/ipv6 | grep -vE '/(tcp_fastopen_key|tcp_mem|udp_mem)' | sort";

/// Every file that is v6pod's or an engine's configuration, with what is in it.
const FILES: &str = "find /etc/v6pod /etc/containers /var/lib/v6pod /run/v6pod \\( -type f -exec sha256sum {} + \\) \
    -o -printf '%p %M\\n' 2>/dev/null | sort";

pub struct Site {
    pub host: Host,
    pub link: Link,
    pub before: Before,
    _net: Net,
}

/// The host at one moment.
pub struct Before {
    network: Snapshot,
    sysctls: String,
}

impl Before {
    #[track_caller]
    pub fn of(host: &Host) -> Self {
        Self { network: host.snapshot(), sysctls: host.sh(SYSCTLS).stdout }
    }

    fn same_as(&self, now: &Self) -> Result<(), String> {
        self.network.same_as(&now.network)?;
        let differing = |one: &str, other: &str| -> Vec<String> {
            one.lines().filter(|line| !other.lines().any(|known| known == *line)).map(str::to_owned).collect()
        };
        let (gone, new) = (differing(&self.sysctls, &now.sysctls), differing(&now.sysctls, &self.sysctls));
        if gone.is_empty() && new.is_empty() { Ok(()) } else { Err(format!("- {gone:#?}\n+ {new:#?}")) }
    }
}

impl Site {
    /// A host that had no v6podd yet.
    #[track_caller]
    pub fn new() -> Self {
        Self::after("true")
    }

    /// A host that this script was run on before.
    #[track_caller]
    pub fn after(script: &str) -> Self {
        let net = Net::new();
        let host = Host::new("one", &["alice"]);
        let link = net.join(&host);
        // The harness' own, for containers.
        host.run(["rm", "-r", "/etc/v6pod"]);
        host.sh(script);
        // The kernel is at work for a while after a link came up.
        let settled = "ip -o link show eth0 | grep -q 'state UP'
            ip -6 -o address show dev eth0 scope link | grep -q inet6
            ! ip -6 -o address show tentative | grep -q .";
        eventually(LATER, || match host.try_run(["bash", "-euc", settled]).success() {
            true => Ok(()),
            false => Err(host.sh("ip -o link; ip -6 -o address").stdout),
        });
        let before = Before::of(&host);
        Self { host, link, before, _net: net }
    }

    pub fn alice(&self) -> User {
        self.host.user("alice")
    }

    /// Starts the daemon with its prefix and this besides.
    #[track_caller]
    pub fn daemon(&self, more: &str) -> Daemon {
        self.host.daemon(&format!("prefix = \"{}\"\n{more}", self.link.prefix))
    }

    /// Attaches a namespace of alice's.
    #[track_caller]
    pub fn attach(&self, name: &str) -> (Namespaces, Attached) {
        let alice = self.alice();
        let namespace = Namespaces::new(&alice, 1);
        let output = alice.try_attach(&namespace, name).expect_success();
        let attached = v6pod_integration::attached(&output.stdout).remove(0);
        (namespace, attached)
    }

    /// Cleans up; panics unless that succeeds.
    #[track_caller]
    pub fn cleanup(&self, more: &[&str]) -> Output {
        self.host.run(CLEANUP.iter().chain(more))
    }

    /// Cleans up, whatever comes of it.
    #[track_caller]
    pub fn try_cleanup(&self, more: &[&str]) -> Output {
        self.host.try_run(CLEANUP.iter().chain(more))
    }

    /// What it says it did, as `KIND OBJECT DONE`.
    #[track_caller]
    pub fn done(&self, more: &[&str]) -> Vec<String> {
        told(&self.cleanup(&[more, &["--json"]].concat()).json())
    }

    /// Waits until the host is as it was before. Namespaces that have ended leave their numbers a little later.
    #[track_caller]
    pub fn is_as_before(&self) {
        eventually(LATER, || self.before.same_as(&Before::of(&self.host)));
    }

    /// Configuration, state and socket, all of it.
    #[track_caller]
    pub fn files(&self) -> String {
        self.host.try_run(["bash", "-c", FILES]).stdout
    }

    /// The names in the state directory, sorted; none if it is not there.
    #[track_caller]
    pub fn state(&self) -> Vec<String> {
        let list = self.host.try_run(["ls", "-A", "/var/lib/v6pod"]);
        list.stdout.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn has(&self, path: &str) -> bool {
        self.host.try_run(["test", "-e", path]).success()
    }
}

/// The items of the report, as `KIND OBJECT DONE`.
#[track_caller]
pub fn told(report: &Value) -> Vec<String> {
    let items = report["items"].as_array().unwrap_or_else(|| panic!("no items: {report}"));
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_else(|| panic!("{item}")).to_owned();
    let one = |item| format!("{} {} {}", text(item, "kind"), text(item, "object"), text(item, "done"));
    items.iter().map(one).collect()
}

/// Whether one of the lines begins so.
pub fn tells(lines: &[String], start: &str) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

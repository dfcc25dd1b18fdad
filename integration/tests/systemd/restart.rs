//! A restart while many call, and while a container talks: nobody is turned away, and no packet is lost.

use std::collections::BTreeSet;

use v6pod_integration::{
    Background, Command, Daemon, Host, LATER, Namespaces, Signal, attached, eventually, test_client,
};

use crate::old_site::{PREFIX, Site, Unit};

const MANY: usize = 60;

/// A ping every 20 ms to a container.
pub struct Traffic(Background);

impl Traffic {
    #[track_caller]
    fn to(host: &Host, address: &str) -> Self {
        Self::of(host.command(["ping", "-6", "-n", "-i", "0.02", address]))
    }

    #[track_caller]
    pub fn of(ping: Command) -> Self {
        let ping = ping.spawn();
        eventually(LATER, || if ping.log().contains("icmp_seq=5") { Ok(()) } else { Err(ping.log()) });
        Self(ping)
    }

    #[track_caller]
    pub fn lost_nothing(mut self) {
        // Some of it after all that happened.
        let so_far = self.0.log().lines().count();
        eventually(LATER, || {
            if self.0.log().lines().count() > so_far + 20 { Ok(()) } else { Err(self.0.log()) }
        });
        self.0.signal(Signal::INT);
        self.0.wait(LATER);
        let log = self.0.log();
        let number = |line: &str| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse::<u32>().ok();
        let numbers: BTreeSet<_> = log.lines().filter_map(number).collect();
        let last = numbers.last().copied().unwrap_or_default();
        let missing: Vec<_> = (1..=last).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty() && last > 20, "lost {missing:?} of {last}");
        let sent = |count| log.contains(&format!("\n{count} packets transmitted"));
        assert!(sent(last) || sent(last + 1), "lost the end\n{log}");
    }
}

/// Waits until all are attached, with `disturb` in between as often as anything is left to do, and gives how often
/// that was.
#[track_caller]
fn all_are_attached(client: &mut Background, mut disturb: impl FnMut()) -> usize {
    let answered = |client: &mut Background| client.log().lines().count();
    let mut disturbed = 0;
    // The next disturbance comes when a few more were answered.
    while answered(client) < MANY - 10 {
        let so_far = answered(client);
        eventually(LATER, || if answered(client) > so_far + 4 { Ok(()) } else { Err(client.to_string()) });
        disturb();
        disturbed += 1;
    }
    eventually(LATER, || if answered(client) == MANY { Ok(()) } else { Err(client.to_string()) });
    assert!(client.is_running(), "it holds the leases\n{client}");
    // Panics if one of them failed.
    let addresses: BTreeSet<_> = attached(&client.log()).into_iter().map(|one| one.address).collect();
    assert_eq!(addresses.len(), MANY, "{client}");
    disturbed
}

#[test]
fn no_attach_and_no_packet_is_lost_over_restarts() {
    const UNLIMITED: &str = concat!(
        "prefix = \"2001:db8:1::/80\"\n",
        "[[rule]]\nattachments = \"unlimited\"\nrate = \"unlimited\"\n"
    );
    for order in ["restart", "kill SIGKILL"] {
        let site = Site::started(Unit { configuration: UNLIMITED, ..Unit::default() });
        let bystander = Namespaces::new(&site.alice, 1);
        let (_holder, up) = site.alice.hold(&bystander, "bystander");
        let traffic = Traffic::to(&site.host, &up.address);
        let namespaces = Namespaces::new(&site.alice, MANY);
        let mut client = site.attach_many(&namespaces);
        let disturbed = all_are_attached(&mut client, || site.replaced(order));
        assert!(disturbed >= 3, "{disturbed} of {order}");
        traffic.lost_nothing();
        assert_eq!(site.names().len(), MANY + 1, "{order}");
        // Nothing but what is attached has a lease with systemd.
        site.until("all are stored", |state| state["stored"] == MANY + 1);
    }
}

/// Where nobody keeps the socket, a caller is refused for a moment, and tries again.
#[test]
fn no_attach_is_lost_without_systemd_either() {
    let host = Host::new("one", &["alice"]);
    let configuration = format!("{PREFIX}{}", v6pod_integration::UNLIMITED);
    let mut daemon = Daemon::new(&host, &configuration);
    daemon.start();
    let alice = host.user("alice");
    let namespaces = Namespaces::new(&alice, MANY);
    let mut client = test_client(&alice, &["attach", "16", "hold"], &namespaces.lines()).spawn();
    let mut turn = 0;
    let disturbed = all_are_attached(&mut client, || {
        turn += 1;
        if turn % 2 == 0 {
            daemon.kill9();
            daemon.start();
        } else {
            daemon.restart();
        }
    });
    assert!(disturbed >= 3, "{disturbed}");
}

/// The ways in of people and of podman, each in the moment when nobody serves the socket.
#[test]
fn callers_wait_in_the_socket() {
    let site = Site::started(Unit::default());
    site.order("stop");
    site.until("it has stopped", |state| state["state"] == "dead");
    // Its next starts come to nothing; the callers are there before it is.
    site.host.write("/etc/v6pod/v6podd.toml", "nonsense");
    let mut status = site.v6pod(&["status"]).spawn();
    let mut container = site
        .alice
        .podman_command(["run", "--name", "web", "busybox", "ip", "-6", "-o", "address", "show", "v6pod0"])
        .env("V6POD_REQUIRED", "1")
        .spawn();
    site.until("both wait", |_| {
        let queue = site.host.run(["ss", "-xlH", "src", "/run/v6pod/v6pod.sock"]);
        queue.stdout.split_whitespace().nth(2).is_some_and(|waiting| waiting == "2")
    });
    site.host.write("/etc/v6pod/v6podd.toml", PREFIX);
    assert!(status.wait(LATER).success(), "{status}");
    assert!(container.wait(LATER).success(), "{container}");
    assert!(container.log().contains("inet6 2001:db8:1:"), "{container}");
}

//! The main job: unmodified podman with `network_cmd_path` set, users in no special group.

use std::{net::Ipv6Addr, thread, time::Duration};

use v6pod_integration::{Daemon, Host, Link, Net, User, eventually};

/// What a name or an address may take to be there, or to be gone.
const SOON: Duration = Duration::from_secs(1);

/// A host on the net, with its daemon.
struct Site {
    link: Link,
    daemon: Daemon,
    host: Host,
}

impl Site {
    fn new(net: &Net, name: &str, users: &[&str]) -> Self {
        let host = Host::new(name, users);
        let link = net.join(&host);
        let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
        Self { link, daemon, host }
    }
}

/// Runs a web server in a container of this name.
fn serve(user: &User, name: &str) -> String {
    user.podman(["run", "-d", "--name", name, "busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/var/www"]);
    address(user, name)
}

/// The address that the container has on `v6pod0`.
fn address(user: &User, name: &str) -> String {
    let shown = user.podman(["exec", name, "ip", "-6", "-o", "address", "show", "v6pod0", "scope", "global"]);
    let text = shown.stdout.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
    let address = text.and_then(|text| text.split('/').next()).unwrap_or_default();
    address.parse::<Ipv6Addr>().unwrap_or_else(|_| panic!("no address in {shown}"));
    address.to_owned()
}

#[test]
fn containers_reach_each_other_with_their_own_addresses() {
    let net = Net::new();
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| Site::new(&net, "one", &["alice", "bob"]));
        let other = scope.spawn(|| Site::new(&net, "other", &["carol"]));
        (one.join().expect("one"), other.join().expect("other"))
    });
    let (alice, bob, carol) = (one.host.user("alice"), one.host.user("bob"), other.host.user("carol"));
    let addresses = [serve(&alice, "web"), serve(&bob, "web"), serve(&carol, "far")];
    println!("{addresses:?} {}", one.daemon.log());
    assert!(addresses[0].starts_with(one.link.prefix.trim_end_matches("::/80")));
}

//! What CentOS 7's kernel lacks is not needed: daemon, client and slirp4netns run with no system call newer
//! than Linux 3.10 and without the ioctls that tell whose a namespace is. Only podman itself has all.

use serde_json::Value;
use v6pod_integration::{Daemon, Host, LATER, Link, Net, OLD_KERNEL, User, eventually};

const LAUNCHER: &str = "/usr/local/bin/slirp4netns-on-an-old-kernel";

struct Site {
    link: Link,
    daemon: Daemon,
    host: Host,
    _net: Net,
}

impl Site {
    fn new() -> Self {
        Self::with("")
    }

    /// With this in the configuration too.
    fn with(settings: &str) -> Self {
        let net = Net::new();
        let host = Host::new("one", &["alice", "bob"]);
        let link = net.join(&host);
        host.write(LAUNCHER, format!("#!/bin/sh\nexec {OLD_KERNEL} /usr/libexec/v6pod/slirp4netns \"$@\"\n"));
        let wrapper = format!("s|^network_cmd_path.*|network_cmd_path = \"{LAUNCHER}\"|");
        host.run(["chmod", "755", LAUNCHER]);
        host.run(["sed", "-i", &wrapper, "/etc/containers/containers.conf"]);
        let mut daemon = Daemon::new(&host, &format!("{settings}prefix = \"{}\"\n", link.prefix));
        daemon.on_an_old_kernel().start();
        let site = Self { link, daemon, host, _net: net };
        site.sees_an_old_kernel(site.host.run(["pgrep", "-x", "v6podd"]).text());
        site
    }

    /// The control: without the filters, the tests below would show nothing.
    #[track_caller]
    fn sees_an_old_kernel(&self, pid: &str) {
        let status = self.host.run(["cat", &format!("/proc/{pid}/status")]);
        let filters = status.stdout.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        // slirp4netns adds one of its own.
        assert!(
            filters.is_some_and(|count| count.trim().parse().is_ok_and(|count: u32| count >= 3)),
            "{status}"
        );
    }

    fn attachments(&self) -> Vec<Value> {
        let answer = self.host.run([OLD_KERNEL, "v6pod", "list", "--json"]);
        answer.json()["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// The address under a name, once the built-in DNS has it.
    #[track_caller]
    fn resolved(&self, name: &str) -> String {
        let (server, name) = (format!("@{}", self.link.gateway), format!("{name}.v6pod"));
        eventually(LATER, || {
            let answer = self.host.run(["dig", "+short", "+tries=1", "+time=2", &server, &name, "AAAA"]);
            let address = answer.text().trim().to_owned();
            if address.is_empty() { Err(format!("{answer}\n{}", self.daemon.log())) } else { Ok(address) }
        })
    }

    #[track_caller]
    fn serve(&self, user: &User, name: &str) -> String {
        let start = ["run", "-d", "--stop-timeout=0", "--cap-add=NET_RAW", "--name", name];
        let server = ["busybox", "httpd", "-f", "-p", "[::]:8080", "-h", "/var/www"];
        user.podman(start.iter().chain(&server));
        let address = self.resolved(name);
        let page = self.host.run(["curl", "-sfm2", &format!("http://[{address}]:8080/")]);
        assert_eq!(page.text(), "hello from a container");
        address
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        eventually(LATER, || match self.attachments() {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}\n{}", self.daemon.log())),
        });
        let links = self.host.run(["ip", "-o", "link"]);
        assert!(!links.stdout.contains("veth") && !links.stdout.contains("v6p0"), "{links}");
    }
}

/// The guard needs neither the netdev family nor isolated ports (Linux 4.18), which this kernel has.
#[test]
fn the_main_job_is_done() {
    let site = the_main_job(Site::new());
    let rules = site.host.run(["nft", "list", "ruleset"]);
    assert!(rules.stdout.contains("table bridge v6pod") && !rules.stdout.contains("netdev"), "{rules}");
}

/// As on CentOS 7.6, whose kernel has no nf_tables for bridges.
#[test]
fn the_main_job_is_done_with_ebtables() {
    let site = the_main_job(Site::with("guard = \"ebtables\"\n"));
    let rules = site.host.run(["ebtables", "-t", "nat", "-L"]);
    assert!(rules.stdout.contains("v6p"), "{rules}");
}

fn the_main_job(site: Site) -> Site {
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let web = site.serve(&alice, "web");
    let slirp4netns = alice.run(["pgrep", "-u", alice.name(), "slirp4netns"]);
    site.sees_an_old_kernel(slirp4netns.text());
    let shop = site.serve(&bob, "shop");
    alice.podman(["exec", "web", "ping", "-6", "-c1", "-W2", &shop]);
    let ports = site.host.run(["bridge", "-d", "link"]);
    assert!(ports.stdout.contains("v6p") && !ports.stdout.contains("isolated on"), "{ports}");
    let page = bob.podman(["exec", "shop", "wget", "-qO-", &format!("http://[{web}]:8080/")]);
    assert_eq!(page.text(), "hello from a container");
    alice.podman(["restart", "-t", "0", "web"]);
    assert_eq!(site.resolved("web"), web);
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    bob.podman(["stop", "-t", "0", "shop"]);
    site.nothing_is_left();
    site
}

#[test]
fn a_killed_daemon_finds_its_containers_and_their_leases_again() {
    let mut site = Site::new();
    let alice = site.host.user("alice");
    let web = site.serve(&alice, "web");
    site.daemon.kill9();
    site.daemon.start();
    site.host.run(["ping", "-6", "-c1", "-W2", &web]);
    assert_eq!(site.resolved("web"), web);
    alice.podman(["stop", "-t", "0", "web"]);
    site.nothing_is_left();
}

#[test]
fn whose_a_namespace_is_is_still_known() {
    let site = Site::new();
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let holder = alice.spawn(["unshare", "--user", "--map-root-user", "--net", "sleep", "infinity"]);
    let pid = eventually(LATER, || {
        let found = alice.try_run(["pgrep", "-u", alice.name(), "-x", "sleep"]);
        let pid = found.text().lines().next().unwrap_or_default().to_owned();
        if pid.is_empty() { Err(format!("{found}\n{holder}")) } else { Ok(pid) }
    });
    let path = format!("/proc/{pid}/ns/net");
    // Root may open alice's namespace; passed on to bob, it is still not his.
    let script = format!(
        "exec 3<{path}; exec setpriv --reuid={0} --regid={0} --clear-groups {OLD_KERNEL} v6pod attach /proc/self/fd/3",
        bob.uid()
    );
    let refused = site.host.try_run(["bash", "-c", &script]);
    assert!(refused.stderr.contains("does not belong to uid"), "{refused}");
    alice.run([OLD_KERNEL, "v6pod", "attach", &pid]);
    assert_eq!(site.attachments()[0]["uid"], alice.uid());
}

//! rootlesskit, which rootless Docker and rootless containerd run in: the stand-in is its slirp4netns, or
//! `v6pod attach` adds to whatever else gives it networking.

use std::fmt::Display;

use serde_json::Value;
use v6pod_integration::{Background, Daemon, Host, LATER, Link, Net, User, eventually};

/// Debian's, without detached namespaces.
const DEBIANS: &str = "rootlesskit";

/// The newest.
const NEWEST: &str = "rootlesskit-new";

const STATE: &str = "/tmp/rootlesskit";

/// As dockerd-rootless.sh calls it, but for the port driver's and the detached namespace's options.
const FLAGS: &str = "--mtu=65520 --slirp4netns-sandbox=auto --slirp4netns-seccomp=auto \
    --disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run --propagation=rslave";

/// Two hosts beyond a router, one with a daemon and a user.
struct Site {
    other_link: Link,
    other: Host,
    link: Link,
    daemon: Daemon,
    alice: User,
    host: Host,
    _net: Net,
}

impl Site {
    fn new() -> Self {
        let net = Net::new();
        let host = Host::builder("one").user("alice").build();
        let other = Host::builder("other").without_wrapper().build();
        let (link, other_link) = (net.join(&host), net.join(&other));
        let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
        Self { other_link, other, link, daemon, alice: host.user("alice"), host, _net: net }
    }

    /// Runs a web server in rootlesskit, with the environment that `v6pod setup docker` wrote for Docker.
    fn docker(&self, program: &str, flags: &str) -> Background {
        self.alice.run(["v6pod", "setup", "docker"]);
        let written = self.host.path("/home/alice/.config/systemd/user/docker.service.d/v6pod.conf");
        let written = std::fs::read_to_string(written).expect("setup wrote it");
        let variables = written.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
        let flags = format!(
            "--net=$DOCKERD_ROOTLESS_ROOTLESSKIT_NET {FLAGS} $DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS {flags}"
        );
        variables
            .fold(self.rootlesskit(program, &flags), |command, (name, value)| {
                command.env(name, value.replace("%u", "alice"))
            })
            .spawn()
    }

    fn rootlesskit(&self, program: &str, flags: &str) -> v6pod_integration::Command {
        // In a detached namespace only what is told to runs.
        let server = "[ ! -e $ROOTLESSKIT_STATE_DIR/netns ] || set -- nsenter -n$ROOTLESSKIT_STATE_DIR/netns; \
            exec \"$@\" busybox httpd -f -v -p '[::]:80' -h /usr/share/common-licenses";
        self.alice.command([
            "sh",
            "-euc",
            &format!("exec {program} --state-dir={STATE} {flags} sh -euc \"$1\" server"),
            "sh",
            server,
        ])
    }

    fn attachments(&self) -> Vec<Value> {
        let answer = self.host.run(["v6pod", "list", "--json"]);
        answer.json()["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// The only attachment.
    #[track_caller]
    fn attachment(&self, shown: &impl Display) -> Value {
        eventually(LATER, || match &self.attachments()[..] {
            [one] if one["state"] == "active" => Ok(one.clone()),
            other => Err(format!("{other:?}\n{shown}\n{}", self.daemon.log())),
        })
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        eventually(LATER, || match &self.attachments()[..] {
            [] => Ok(()),
            other => Err(format!("{other:?}\n{}", self.daemon.log())),
        });
        let ports = self.host.run(["ip", "-o", "link", "show", "master", "v6pod0"]);
        assert_eq!(ports.text(), "", "{ports}");
    }

    /// The web server's namespace.
    #[track_caller]
    fn namespace(&self) -> String {
        let found = eventually(LATER, || match self.host.try_run(["pgrep", "-o", "-f", "^busybox httpd"]) {
            found if found.success() => Ok(found),
            found => Err(found.to_string()),
        });
        format!("/proc/{}/ns/net", found.text())
    }

    /// The other host reaches the server and the server's namespace the other host, under their own addresses.
    #[track_caller]
    fn is_on_the_net(&self, kit: &Background, address: &str) {
        eventually(LATER, || {
            let url = format!("http://[{address}]/GPL-3");
            match self.other.try_run(["curl", "-sf", "-m2", &url]) {
                page if page.stdout.contains("GNU GENERAL PUBLIC LICENSE") => Ok(()),
                page => Err(format!("{page}\n{kit}")),
            }
        });
        let seen = format!("[{}]:", self.other_link.address);
        eventually(LATER, || if kit.log().contains(&seen) { Ok(()) } else { Err(kit.to_string()) });
        self.other.run(["ping", "-6", "-c1", "-W2", address]);

        let inside = format!("--net={}", self.namespace());
        let server = self.other.spawn([
            "busybox",
            "httpd",
            "-f",
            "-v",
            "-p",
            "[::]:8080",
            "-h",
            "/usr/share/common-licenses",
        ]);
        eventually(LATER, || {
            let url = format!("http://[{}]:8080/GPL-3", self.other_link.address);
            let page = self.host.try_run(["nsenter", &inside, "--", "curl", "-sf", "-m2", &url]);
            if page.success() { Ok(()) } else { Err(page) }
        });
        let seen = format!("[{address}]:");
        eventually(LATER, || if server.log().contains(&seen) { Ok(()) } else { Err(server.to_string()) });
        self.host.run(["nsenter", &inside, "--", "ping", "-6", "-c1", "-W2", &self.other_link.address]);
    }
}

fn text(attachment: &Value, key: &str) -> String {
    attachment[key].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn docker_is_on_the_net(program: &str, flags: &str) {
    let site = Site::new();
    let mut kit = site.docker(program, flags);
    let attachment = site.attachment(&kit);
    assert_eq!(attachment["uid"], site.alice.uid());
    assert_eq!(
        (text(&attachment, "container_id"), text(&attachment, "name")),
        (String::new(), "docker-alice".into())
    );
    assert_eq!(attachment["leased"], true);
    let address = text(&attachment, "address");
    site.is_on_the_net(&kit, &address);

    // slirp4netns goes on giving IPv4, and IPv6 is ours alone.
    let inside = format!("--net={}", site.namespace());
    let route = site.host.run(["nsenter", &inside, "--", "ip", "-4", "route", "get", "192.0.2.1"]);
    assert!(route.stdout.contains("via 10.0.2.2 dev tap0"), "{route}");
    let addresses =
        site.host.run(["nsenter", &inside, "--", "ip", "-6", "-o", "address", "show", "scope", "global"]);
    assert_eq!(addresses.stdout.lines().count(), 1, "{addresses}");
    let ipv4 = format!("http://{}:8080/GPL-3", site.link.address_v4);
    let _server =
        site.host.spawn(["busybox", "httpd", "-f", "-p", "0.0.0.0:8080", "-h", "/usr/share/common-licenses"]);
    eventually(LATER, || {
        let page = site.host.try_run(["nsenter", &inside, "--", "curl", "-sf", "-m2", &ipv4]);
        if page.success() { Ok(()) } else { Err(page) }
    });

    // SIGKILL is also how rootlesskit ends slirp4netns itself.
    kit.kill9();
    site.nothing_is_left();

    // The name brings the same address back.
    site.host.run(["rm", "-rf", STATE]);
    let kit = site.docker(program, flags);
    assert_eq!(text(&site.attachment(&kit), "address"), address);
}

#[test]
fn debians_rootlesskit_is_on_the_net() {
    docker_is_on_the_net(DEBIANS, "");
}

#[test]
fn the_newest_rootlesskit_is_on_the_net() {
    docker_is_on_the_net(NEWEST, "");
}

#[test]
fn a_detached_namespace_is_on_the_net() {
    docker_is_on_the_net(NEWEST, "--detach-netns");
}

#[test]
fn the_end_of_slirp4netns_alone_ends_the_attachment() {
    let site = Site::new();
    let kit = site.docker(DEBIANS, "");
    site.attachment(&kit);
    let namespace = site.namespace();
    site.host.run(["pkill", "-KILL", "-x", "slirp4netns"]);
    site.nothing_is_left();
    let links = site.host.run(["nsenter", &format!("--net={namespace}"), "--", "ip", "-o", "link"]);
    assert!(links.stdout.contains("lo") && !links.stdout.contains("v6pod0"), "{links}");
}

#[test]
fn without_the_daemon_rootlesskit_starts_all_the_same() {
    let mut site = Site::new();
    site.daemon.stop();
    let kit = site.docker(NEWEST, "--detach-netns");
    let inside = format!("--net={}", site.namespace());
    eventually(LATER, || {
        let route = site.host.run(["nsenter", &inside, "--", "ip", "-4", "route"]);
        if route.stdout.contains("default via 10.0.2.2 dev tap0") {
            Ok(())
        } else {
            Err(format!("{route}{kit}"))
        }
    });
}

/// Attaches what the user's rootlesskit has made, by `target`, and checks that it is on the net.
#[track_caller]
fn attach_is_on_the_net(site: &Site, kit: &Background, target: &str) {
    site.namespace();
    let answer = site.alice.sh(&format!("v6pod attach --name kit --json {target}")).json();
    site.is_on_the_net(kit, &text(&answer["attachment"], "address"));
}

/// Another driver than the stand-in, which both releases have: slirp4netns itself.
const OTHER_DRIVER: &str = "--net=slirp4netns --slirp4netns-binary=/usr/bin/slirp4netns --copy-up=/etc";

#[test]
fn attach_adds_to_what_another_driver_gives() {
    let site = Site::new();
    let mut kit = site.rootlesskit(DEBIANS, OTHER_DRIVER).spawn();
    attach_is_on_the_net(&site, &kit, &format!("$(cat {STATE}/child_pid)"));
    kit.kill9();
    site.nothing_is_left();
}

#[test]
fn attach_adds_to_a_detached_namespace_by_its_path() {
    let site = Site::new();
    let mut kit = site.rootlesskit(NEWEST, &format!("{OTHER_DRIVER} --detach-netns")).spawn();
    site.namespace();
    // rootlesskit's child may show the host's namespace or this one, whichever its first thread was in last.
    // That is up to Go's scheduler, so the process is no use here: the path is.
    attach_is_on_the_net(&site, &kit, &format!("/proc/$(cat {STATE}/child_pid)/root{STATE}/netns"));
    kit.kill9();
    site.nothing_is_left();
}

#[test]
fn attach_adds_to_pasta() {
    let site = Site::new();
    // rootlesskit wants a pasta younger than Debian 12's: Debian 13's, with the libraries it came with.
    let root = "/usr/local/lib/v6pod-test/engines/13/root";
    let script = format!(
        "#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/lib/x86_64-linux-gnu \
         {root}/usr/bin/pasta \"$@\"\n"
    );
    site.host.write("/usr/local/bin/pasta-new", script);
    site.host.run(["chmod", "755", "/usr/local/bin/pasta-new"]);
    let flags =
        "--net=pasta --pasta-binary=pasta-new --port-driver=implicit --disable-host-loopback --copy-up=/etc";
    let mut kit = site.rootlesskit(NEWEST, flags).spawn();
    attach_is_on_the_net(&site, &kit, &format!("$(cat {STATE}/child_pid)"));
    kit.kill9();
    site.nothing_is_left();
}

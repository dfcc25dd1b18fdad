//! `v6pod setup`: afterwards an engine uses v6pod with no other configuration, and `--undo` leaves every file
//! as it was.

use std::fs;

use v6pod_integration::{Command, Daemon, Host, Net, Output, User};

/// The command for people, where every mount namespace of a host has it.
const V6POD: &str = "/tmp/v6pod";

/// A host with a daemon, whose podman is as Debian has it.
struct Site {
    host: Host,
    daemon: Daemon,
    _net: Net,
}

impl Site {
    /// With the podman of this Debian release.
    fn new(release: &'static str) -> Self {
        let net = Net::new();
        let builder = Host::builder("one").user("alice").user("bob").without_wrapper();
        let host = if release == "12" { builder.build() } else { builder.engine(release).build() };
        let link = net.join(&host);
        let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
        host.run(["cp", "/usr/bin/v6pod", V6POD]);
        if release == "11" {
            // It was linked with younger libraries than that release has; the harness puts them there.
            let libraries = "/usr/lib/v6pod-test-machine";
            let interpreter = format!("{libraries}/ld-linux-x86-64.so.2");
            host.run(["patchelf", "--set-interpreter", &interpreter, "--set-rpath", libraries, V6POD]);
        }
        let site = Self { host, daemon, _net: net };
        site.root(["sed", "-i", "/network_cmd_path/d", "/etc/containers/containers.conf"]).run();
        site.root(["ln", "-sf", "slirp4netns", "/usr/libexec/v6pod/v6pod-hook"]).run();
        // podman's first run makes files of its own.
        for user in ["alice", "bob"] {
            assert!(!site.has_address(&site.host.user(user), &[]), "the tests show nothing");
        }
        site
    }

    /// A command of root's where podman is.
    fn root<const N: usize>(&self, arguments: [&str; N]) -> Command {
        self.host.command(arguments).in_engine()
    }

    /// All of the configuration that is anybody's: every file and folder with its owner, mode and contents.
    fn files(&self) -> String {
        let script = "find /etc/containers /etc/systemd/user /usr/share/containers /home/*/.config/* \
            -printf '%p %M %u %l\\n' -type f -exec sha256sum {} + 2>/dev/null | sort";
        self.root(["bash", "-c", script]).try_run().stdout
    }

    /// Whether a container that is started with these options has an address of v6pod's, and it alone.
    #[track_caller]
    fn has_address(&self, user: &User, options: &[&str]) -> bool {
        let run = ["run", "--rm"].iter().chain(options).chain(&["busybox", "ip", "-6", "-o", "address"]);
        let shown = user.podman(run);
        let shown = shown.stdout.lines().filter(|line| line.contains("v6pod0") && line.contains("2001:db8:"));
        shown.count() == 1
    }
}

/// The command of a user's, where podman is.
fn v6pod(user: &User, arguments: &[&str]) -> Output {
    user.command([V6POD].iter().chain(arguments)).in_engine().run()
}

fn setup_and_undo_as_a_user(release: &'static str, file: &str) {
    let site = Site::new(release);
    let (alice, bob) = (site.host.user("alice"), site.host.user("bob"));
    let before = site.files();

    let dry = v6pod(&alice, &["setup", "podman", "--dry-run"]);
    assert!(dry.stdout.contains(&format!("would write /home/alice/.config/containers/{file}\n")), "{dry}");
    assert_eq!(site.files(), before);

    let said = v6pod(&alice, &["setup", "podman"]);
    assert!(said.stdout.contains(&format!("wrote /home/alice/.config/containers/{file}\n")), "{said}");
    assert_eq!(said.stderr, "", "nothing is amiss");
    let after = site.files();
    assert!(site.has_address(&alice, &[]), "{}", site.daemon.log());
    assert!(!site.has_address(&bob, &[]));

    let again = v6pod(&alice, &["setup", "podman", "--json"]).json();
    assert_eq!(again["files"][0]["done"], "unchanged");
    assert_eq!(site.files(), after);

    v6pod(&alice, &["setup", "podman", "--undo"]);
    assert_eq!(site.files(), before);
    assert!(!site.has_address(&alice, &[]));
    let nothing = v6pod(&alice, &["setup", "podman", "--undo"]);
    assert!(nothing.stdout.contains("nothing to undo"), "{nothing}");
}

#[test]
fn a_users_podman_4() {
    setup_and_undo_as_a_user("12", "containers.conf.d/v6pod.conf");
}

#[test]
fn a_users_podman_5_leaves_pasta() {
    setup_and_undo_as_a_user("13", "containers.conf.d/v6pod.conf");
}

#[test]
fn a_users_podman_3_reads_no_drop_in() {
    setup_and_undo_as_a_user("11", "containers.conf");
}

#[test]
fn everybodys_podman_3_keeps_what_is_in_its_file() {
    let site = Site::new("11");
    let file = "/etc/containers/containers.conf";
    let before = site.root(["cat", file]).run().stdout;
    assert!(before.contains("\n[engine]\n"), "{before}");
    site.root([V6POD, "setup", "podman"]).run();
    assert!(site.has_address(&site.host.user("alice"), &[]), "{}", site.daemon.log());
    site.root([V6POD, "setup", "podman", "--undo"]).run();
    assert_eq!(site.root(["cat", file]).run().stdout, before);
}

#[test]
fn everybodys_podman_whatever_roots_umask() {
    let site = Site::new("12");
    let before = site.files();
    site.host.sh("umask 077; v6pod setup podman");
    for user in ["alice", "bob"] {
        assert!(site.has_address(&site.host.user(user), &[]), "{}", site.daemon.log());
    }
    site.host.run(["v6pod", "setup", "podman", "--undo"]);
    assert_eq!(site.files(), before);
}

#[test]
fn root_sets_up_a_user() {
    let site = Site::new("12");
    let before = site.files();
    site.host.run(["v6pod", "setup", "podman", "--user", "alice"]);
    let owners = site.host.sh("find /home/alice/.config ! -user alice");
    assert_eq!(owners.text(), "", "all of it is alice's");
    assert!(site.has_address(&site.host.user("alice"), &[]), "{}", site.daemon.log());
    assert!(!site.has_address(&site.host.user("bob"), &[]));
    site.host.user("bob").try_run(["v6pod", "setup", "podman", "--user", "alice"]).expect_failure();
    site.host.run(["v6pod", "setup", "podman", "--user", "alice", "--undo"]);
    assert_eq!(site.files(), before);
    let nobody = site.host.try_run(["v6pod", "setup", "podman", "--user", "nosuch"]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody}");
}

#[test]
fn a_users_links_lead_root_nowhere() {
    let site = Site::new("12");
    let alice = site.host.user("alice");
    let ours = "# Written by v6pod setup; this removes it: v6pod setup --undo podman\n";
    site.host.write("/srv/secret/v6pod.conf", ours);
    site.host
        .sh("mkdir -p /srv/open; chmod 700 /srv/secret; chmod 755 /srv/open; touch /srv/open/v6pod.conf");
    site.host.write("/srv/open/v6pod.conf", ours);
    let state = "find /srv -printf '%p %M %u %s\\n' | sort";
    let before = site.host.sh(state).stdout;
    for script in [
        "ln -s /srv/secret .config/containers/containers.conf.d",
        "ln -s /srv/open .config/containers/containers.conf.d",
        "mkdir .config/containers/containers.conf.d; ln -s /srv/open/v6pod.conf .config/containers/containers.conf.d/",
        "mkdir .config/containers/containers.conf.d; ln -s /srv/new .config/containers/containers.conf.d/v6pod.conf",
        "mkdir -p .config/containers/containers.conf.d; mkfifo .config/containers/containers.conf.d/v6pod.conf",
        "rm -r .config; ln -s /srv/open .config",
    ] {
        alice.sh(&format!("rm -rf .config; mkdir -p .config/containers; {script}"));
        for more in ["--dry-run", "--undo", "--json"] {
            let said = site.host.try_run(["v6pod", "setup", "podman", "--user", "alice", more]);
            assert!(!said.stdout.contains("secret") || said.success(), "{said}");
        }
        assert_eq!(site.host.sh(state).stdout, before, "after {script}");
    }
}

#[test]
fn what_is_somebody_elses_stays() {
    let site = Site::new("12");
    let alice = site.host.user("alice");
    let path = "/home/alice/.config/containers/containers.conf.d/v6pod.conf";
    site.host.write(path, "# mine\n");
    let refused = alice.try_run(["v6pod", "setup", "podman"]).expect_failure();
    assert_eq!(refused.stderr, format!("v6pod: {path} is not from v6pod setup: move it away first\n"));
    alice.run(["v6pod", "setup", "podman", "--undo"]);
    assert_eq!(fs::read(site.host.path(path)).expect("it is there"), b"# mine\n");
}

#[test]
fn what_is_missing_is_said() {
    let site = Site::new("12");
    site.host.sh("umount /usr/libexec/v6pod/slirp4netns; rm /usr/libexec/v6pod/slirp4netns");
    let said = site.host.user("alice").run(["v6pod", "setup", "podman"]);
    assert!(said.stderr.contains("/usr/libexec/v6pod/slirp4netns is not there"), "{said}");
    let said = site.host.user("alice").run(["v6pod", "setup", "docker"]);
    assert!(said.stderr.contains("dockerd-rootless-setuptool.sh install"), "{said}");
}

/// Sets the hook up, as root or as alice, and undoes it.
fn setup_and_undo_the_hook(release: &'static str, as_root: bool) {
    let site = Site::new(release);
    let alice = site.host.user("alice");
    let setup = |more: &[&str]| {
        let arguments = [&[V6POD, "setup", "hook"], more].concat();
        let command = if as_root { site.host.command(arguments) } else { alice.command(arguments) };
        command.in_engine().run()
    };
    let before = site.files();
    setup(&[]);
    let after = site.files();
    assert!(site.has_address(&alice, &["--annotation", "v6pod.network=default"]), "{}", site.daemon.log());
    assert!(!site.has_address(&alice, &[]), "a container that does not ask for it");
    setup(&[]);
    assert_eq!(site.files(), after);
    setup(&["--undo"]);
    assert!(!site.has_address(&alice, &["--annotation", "v6pod.network=default"]));
    assert_eq!(site.files(), before);
}

#[test]
fn everybodys_hook() {
    setup_and_undo_the_hook("12", true);
}

#[test]
fn everybodys_hook_beside_pasta() {
    setup_and_undo_the_hook("13", true);
}

#[test]
fn everybodys_hook_for_podman_3() {
    setup_and_undo_the_hook("11", true);
}

#[test]
fn a_users_hook() {
    setup_and_undo_the_hook("12", false);
}

#[test]
fn a_users_hook_beside_pasta() {
    setup_and_undo_the_hook("13", false);
}

#[test]
fn docker_for_everybody_and_for_oneself() {
    let site = Site::new("12");
    let before = site.files();
    site.host.run(["v6pod", "setup", "docker"]);
    let everybodys = fs::read_to_string(site.host.path("/etc/systemd/user/docker.service.d/v6pod.conf"));
    assert!(everybodys.expect("it is there").contains("--slirp4netns-binary=/usr/libexec/v6pod/slirp4netns"));
    site.host.run(["v6pod", "setup", "docker", "--undo"]);
    assert_eq!(site.files(), before);
}

//! The deb, with dpkg, in a bare Debian: what its scripts do where systemd runs, and where it does not.

use v6pod_integration::Output;

use crate::{
    made::{earlier, folder, package},
    root::Root,
};

/// Installs both packages of a folder with dpkg.
#[track_caller]
fn install(root: &Root, folder: &std::path::Path) -> Output {
    let names = ["v6pod_", "v6pod-setuid_"].map(|name| root.receive(&package(folder, name, ".deb")));
    root.sh(&format!("dpkg -i {}", names.join(" ")))
}

fn enabled(root: &Root) -> bool {
    root.command("test -h /etc/systemd/system/multi-user.target.wants/v6podd.service").try_run().success()
}

/// Debian's rule: what is installed runs, unless somebody has said no.
#[test]
fn where_systemd_runs_units_are_started_and_restarted_and_stopped() {
    let root = Root::new();
    for program in ["/usr/bin/systemctl", "/usr/bin/systemd-tmpfiles"] {
        root.record(program);
    }
    // As sd_booted(3) asks.
    root.sh("mkdir -p /run/systemd/system");
    install(&root, earlier());
    let said = root.recorded();
    let has = |said: &[String], wanted: &str| said.iter().any(|line| line.contains(wanted));
    assert_eq!(said[0], "systemd-tmpfiles --create v6pod.conf");
    for call in ["--preset-mode=enable-only preset v6podd.service", "daemon-reload", " start "] {
        assert!(has(&said, call), "{call}: {said:?}");
    }
    assert!(!has(&said, "restart"), "{said:?}");
    let modes = root.sh("stat -c '%a %U' /usr/libexec/v6pod/v6pod-connect /var/lib/v6pod");
    assert_eq!(modes.text(), "4755 root\n700 root");

    root.sh("echo 'prefix = \"2001:db8::/80\"' >/etc/v6pod/v6podd.toml; echo x >/var/lib/v6pod/file");
    install(&root, &folder());
    let said = root.recorded();
    // Never stopped, and the administrator's configuration is kept.
    assert!(has(&said, "restart v6podd.service") && !has(&said, "stop"), "{said:?}");
    assert_eq!(root.sh("cat /etc/v6pod/v6podd.toml").text(), "prefix = \"2001:db8::/80\"");

    root.record("/usr/bin/v6pod");
    root.sh("dpkg --remove v6pod-setuid v6pod");
    let said = root.recorded();
    let order = ["stop", "setup --undo podman", "setup --undo hook", "setup --undo docker", "cleanup --all"];
    let places = order.map(|word| said.iter().position(|line| line.contains(word)));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{said:?}");
    assert_eq!(
        root.sh("ls /etc/v6pod /var/lib/v6pod").stdout.lines().count(),
        6,
        "configuration and records stay"
    );
    root.sh("dpkg --purge v6pod-setuid v6pod");
    let left = root.sh("find / -xdev -name '*v6pod*' -not -path '/root/*' -not -path '/var/log/*' | sort");
    assert_eq!(left.text(), "", "{left}");
}

#[test]
fn where_systemd_does_not_run_nothing_is_started() {
    let root = Root::new();
    install(&root, &folder());
    assert!(enabled(&root), "it is for the next boot");
    root.sh("v6pod --version; v6podd --check-config");
    // A choice that outlives an upgrade.
    root.sh("rm /etc/systemd/system/multi-user.target.wants/v6podd.service"); // systemctl disable
    root.sh("dpkg -i v6pod_*.deb");
    assert!(!enabled(&root));
    root.sh("dpkg --purge v6pod-setuid v6pod");
    let left = root.sh("find / -xdev -name '*v6pod*' -not -path '/root/*' -not -path '/var/log/*' | sort");
    assert_eq!(left.text(), "", "{left}");
}

/// dpkg itself warns and goes on; apt does not unless it is told to.
#[test]
fn an_older_package_is_not_taken_for_a_newer_one() {
    let root = Root::new();
    install(&root, &folder());
    let older = root.receive(&package(earlier(), "v6pod_", ".deb"));
    let refused = root.command(&format!("apt-get install ./{older}")).try_run();
    assert!(!refused.success() && refused.stderr.contains("downgraded"), "{refused}");
}

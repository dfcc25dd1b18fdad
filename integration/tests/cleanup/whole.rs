//! After an orderly stop.

use v6pod_integration::{LATER, eventually};

use crate::site::{Site, tells};

#[test]
fn the_host_is_as_it_was_though_containers_run() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let alice = site.alice();
    alice.podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    let (namespace, attached) = site.attach("bare");
    daemon.stop();

    let said = site.cleanup(&[]).stdout;
    for (words, what) in [
        (format!("link           v6p{}", attached.id), "the link"),
        ("bridge         v6pod0".to_owned(), "the bridge"),
        ("nftables bridge v6pod".to_owned(), "the rules"),
        ("net.ipv6.conf.all.forwarding".to_owned(), "forwarding"),
        ("net.ipv6.conf.eth0.accept_ra".to_owned(), "router advertisements"),
        ("/run/v6pod/v6pod.sock".to_owned(), "the socket"),
        ("/var/lib/v6pod ".to_owned(), "the state"),
        (format!("{} of uid {}", attached.address, alice.uid()), "whose it was"),
    ] {
        assert!(said.contains(&words), "{what} is not told of: {words:?}\n{said}");
    }
    // The containers themselves go on.
    assert_eq!(alice.podman(["inspect", "--format", "{{.State.Running}}", "web"]).text(), "true");
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    namespace.kill();
    site.is_as_before();
    assert_eq!(site.state(), ["audit"]);
    assert!(!site.has("/run/v6pod"), "the socket's folder is left");
    assert!(site.has("/etc/v6pod/v6podd.toml"), "the configuration is the administrator's");
}

#[test]
fn twice_is_as_good_as_once_and_v6podd_can_be_started_again() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, first) = site.attach("web");
    daemon.stop();
    let once = site.done(&[]);
    assert!(tells(&once, &format!("link v6p{} removed", first.id)), "{once:?}");
    let files = site.files();
    for _ in 0..2 {
        let again = site.done(&[]);
        assert_eq!(again, ["configuration /etc/v6pod kept", "audit /var/lib/v6pod/audit kept"]);
        assert_eq!(site.files(), files, "the second time changed something");
    }
    daemon.start();
    // The namespace has lost its interface, and may have one again.
    site.alice().try_attach(&namespace, "web").expect_success();
    let history = site.host.run(["v6pod", "history", "--json"]).json();
    let ends: Vec<_> =
        history["entries"].as_array().expect("entries").iter().map(|entry| &entry["end_reason"]).collect();
    assert_eq!(ends.len(), 2, "{history}");
    assert!(history.to_string().contains("administrator"), "the audit does not know who ended it: {history}");
    daemon.stop();
    site.cleanup(&[]);
    namespace.kill();
    site.is_as_before();
}

#[test]
fn a_dry_run_tells_the_same_and_changes_nothing() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, _) = site.attach("web");
    site.host.run(["v6pod", "setup", "podman"]);
    daemon.stop();
    let (running, files) = (site.host.snapshot(), site.files());
    let mut dry = site.done(&["--dry-run"]);
    assert!(!dry.iter().any(|line| line.ends_with(" removed") || line.ends_with(" restored")), "{dry:?}");
    for line in &mut dry {
        *line = line.replace(" would remove", " removed").replace(" would restore", " restored");
    }
    let text = site.cleanup(&["--dry-run"]).stdout;
    assert!(text.contains("would remove") && text.contains("would restore"), "{text}");
    assert!(!text.contains(" removed "), "{text}");
    assert_eq!(running.difference(&site.host.snapshot()), "");
    assert_eq!(site.files(), files);
    assert_eq!(site.done(&[]), dry, "it did not do what it said it would");
    namespace.kill();
    site.is_as_before();
}

#[test]
fn what_setup_wrote_for_everybody_is_undone() {
    let site = Site::new();
    let files = site.files();
    let mut daemon = site.daemon("");
    site.host.run(["v6pod", "setup", "podman"]);
    assert!(site.has("/etc/containers/containers.conf.d/v6pod.conf"));
    daemon.stop();
    let done = site.done(&["--purge"]);
    assert!(tells(&done, "setup /etc/containers/containers.conf.d/v6pod.conf removed"), "{done:?}");
    site.host.run(["rm", "-r", "/etc/v6pod"]);
    let left = site.files();
    let left: Vec<_> = left.lines().filter(|line| !line.contains("containers.conf.d")).collect();
    assert_eq!(left, files.lines().collect::<Vec<_>>(), "files are left, or lost");
    site.is_as_before();
}

#[test]
fn purge_takes_the_audit_too() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, _) = site.attach("web");
    daemon.stop();
    let done = site.done(&["--purge"]);
    assert!(tells(&done, "audit /var/lib/v6pod/audit removed"), "{done:?}");
    assert!(!site.has("/var/lib/v6pod"), "{:?}", site.state());
    namespace.kill();
    site.is_as_before();
    site.host.run(["rm", "-r", "/etc/v6pod"]);
    let nothing = site.cleanup(&["--purge"]);
    assert_eq!(
        (nothing.stdout.as_str(), nothing.stderr.trim()),
        ("", "there is nothing of v6pod's on this host")
    );
}

#[test]
fn sysctls_are_what_they_were_before_the_first_of_many_starts() {
    // An interface that forwards by itself would lose that when all others stop.
    let site = Site::after("ip link add dum0 type bridge; echo 1 >/proc/sys/net/ipv6/conf/dum0/forwarding");
    let mut daemon = site.daemon("");
    daemon.restart();
    daemon.kill9();
    daemon.start();
    let (namespace, _) = site.attach("web");
    daemon.stop();
    let forwarding = || site.host.sh("cat /proc/sys/net/ipv6/conf/{all,dum0}/forwarding").stdout;
    assert_eq!(forwarding(), "1\n1\n");
    site.cleanup(&[]);
    assert_eq!(forwarding(), "0\n1\n");
    namespace.kill();
    site.is_as_before();
}

#[test]
fn what_an_administrator_set_since_stays() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    daemon.stop();
    site.host.sh("echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra");
    let done = site.done(&[]);
    assert!(tells(&done, "sysctl net.ipv6.conf.eth0.accept_ra kept"), "{done:?}");
    assert!(tells(&done, "sysctl net.ipv6.conf.all.forwarding restored"), "{done:?}");
    assert_eq!(site.host.sh("cat /proc/sys/net/ipv6/conf/eth0/accept_ra").text(), "0");
}

#[test]
fn the_rules_of_old_kernels_go_as_well() {
    let site = Site::new();
    let mut daemon = site.daemon("guard = \"ebtables\"\n");
    let (namespace, attached) = site.attach("web");
    daemon.stop();
    let ours = || {
        let list = "ebtables-save; ip6tables-save; iptables-save";
        let all = site.host.sh(list).stdout;
        all.lines()
            .filter(|line| line.contains("V6POD") || line.contains("v6p"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(ours().iter().any(|line| line.contains(&attached.id)), "{:?}", ours());
    let done = site.done(&[]);
    assert!(done.iter().any(|line| line.contains("ebtables nat") && line.ends_with(" removed")), "{done:?}");
    assert_eq!(ours(), Vec::<String>::new());
    namespace.kill();
    eventually(LATER, || match site.host.sh("ip -o link").stdout {
        links if links.contains("v6p") => Err(links),
        _ => Ok(()),
    });
}

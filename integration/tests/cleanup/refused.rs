//! When nothing is done at all.

use v6pod_integration::{LATER, eventually};

use crate::site::{CLEANUP, Site};

#[test]
fn while_v6podd_runs() {
    let site = Site::new();
    let _daemon = site.daemon("");
    let (_namespace, attached) = site.attach("web");
    let (running, files) = (site.host.snapshot(), site.files());
    // With another socket in the configuration, the records are still in use.
    site.host.write("/etc/other.toml", "[socket]\npath = \"/run/other.sock\"\n");
    for more in [&[][..], &["--dry-run"], &["--config", "/etc/other.toml"]] {
        let output = site.try_cleanup(more);
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.stderr.contains("systemctl stop v6podd.socket v6podd.service"), "{output}");
        assert_eq!(output.stdout, "", "{output}");
        assert_eq!(running.difference(&site.host.snapshot()), "");
        assert_eq!(site.files(), files);
    }
    site.host.run(["v6pod", "show", &attached.id]);
}

#[test]
fn while_systemd_would_start_v6podd() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    daemon.stop();
    site.host.sh("rm /run/v6pod/v6pod.sock");
    // Any connection would have systemd start the daemon.
    let listener = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind('/run/v6pod/v6pod.sock')\ns.listen()\n\
        print('listening', flush=True)\ns.accept()\nprint('called', flush=True)\n";
    let listening = site.host.spawn(["python3", "-c", listener]);
    eventually(LATER, || if listening.log().contains("listening") { Ok(()) } else { Err("not yet") });
    let running = site.host.snapshot();
    let output = site.try_cleanup(&[]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(
        output.stderr.contains("/run/v6pod/v6pod.sock") && output.stderr.contains("v6podd.socket"),
        "{output}"
    );
    assert_eq!(running.difference(&site.host.snapshot()), "");
    assert!(!listening.log().contains("called"), "it called, and systemd would have started v6podd");
}

#[test]
fn for_users() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (_namespace, _) = site.attach("web");
    daemon.stop();
    let (running, files) = (site.host.snapshot(), site.files());
    for more in [&[][..], &["--dry-run"], &["--purge"]] {
        let output = site.alice().try_run(CLEANUP.iter().chain(more));
        assert_eq!(output.status.code(), Some(1), "{output}");
        assert!(output.stderr.contains("only root"), "{output}");
    }
    // Nor as the root of a user namespace.
    let output = site.alice().try_run(["unshare", "--user", "--map-root-user", "v6pod", "cleanup", "--all"]);
    assert!(!output.success(), "{output}");
    assert_eq!(running.difference(&site.host.snapshot()), "");
    assert_eq!(site.files(), files);
}

#[test]
fn by_halves() {
    let site = Site::new();
    let output = site.host.try_run(["v6pod", "cleanup"]);
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(output.stderr.contains("--all"), "{output}");
}

#[test]
fn of_what_a_newer_v6podd_left() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (_namespace, _) = site.attach("web");
    daemon.stop();
    site.host.write("/var/lib/v6pod/version", "2\n");
    let (running, files) = (site.host.snapshot(), site.files());
    let output = site.try_cleanup(&[]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr.contains("newer v6podd (form 2, this one knows 1)"), "{output}");
    assert_eq!(running.difference(&site.host.snapshot()), "");
    assert_eq!(site.files(), files);
}

/// Listens on the daemon's path, where that is a file of alice's own: in a mount namespace of hers.
const IMPOSTOR: &str = "\
mount -t tmpfs none /run && mkdir /run/v6pod && exec python3 -c \"
import signal, socket
listener = socket.socket(socket.AF_UNIX)
listener.bind('/run/v6pod/v6pod.sock')
listener.listen()
print('listening', flush=True)
signal.pause()\"";

#[test]
fn not_because_a_user_listens_in_a_place_of_their_own() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, _) = site.attach("web");
    // It leaves its socket behind.
    daemon.kill9();
    let impostor = site.alice().spawn(["unshare", "-Urm", "sh", "-c", IMPOSTOR]);
    eventually(LATER, || if impostor.log().contains("listening") { Ok(()) } else { Err(impostor.log()) });
    // The attack: the kernel lists it as if it were the daemon's.
    let list = site.host.run(["cat", "/proc/net/unix"]).stdout;
    assert!(
        list.lines().any(|line| line.contains(" 00010000 ") && line.ends_with(" /run/v6pod/v6pod.sock")),
        "{list}"
    );
    site.cleanup(&[]);
    assert!(!site.has("/run/v6pod") && site.state() == ["audit"], "{}", site.files());
    namespace.kill();
    site.is_as_before();
}

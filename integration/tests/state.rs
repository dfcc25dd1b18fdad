//! The state directory of other versions: an older one's is read, a newer one's is refused in words, with nothing
//! touched.
//!
//! `fixtures/state-form-1` is what v6podd 0.1.0 left before the directory told its form: kept as it was written.

use std::{fs, path::Path};

use serde_json::Value;
use v6pod_integration::{Attached, Daemon, Host, LATER, Namespaces, attached};

const STATE: &str = "/var/lib/v6pod";
const CONFIGURATION: &str = "prefix = \"2001:db8:1::/80\"\n";
/// The record of the kept state.
const RECORD: &str = "bdab849e5a05.json";
/// Its address.
const ADDRESS: &str = "2001:db8:1::76f5:4f6d:8935";

#[track_caller]
fn kept(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/state-form-1").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A host with a container attached, and its daemon stopped.
#[track_caller]
fn stopped() -> (Host, Daemon, Namespaces, Attached) {
    let host = Host::new("one", &["alice"]);
    let mut daemon = host.daemon(CONFIGURATION);
    let alice = host.user("alice");
    let namespace = Namespaces::new(&alice, 1);
    let one = attached(&alice.try_attach(&namespace, "web").expect_success().stdout).remove(0);
    daemon.stop();
    (host, daemon, namespace, one)
}

fn files(host: &Host) -> String {
    host.sh(&format!("cd {STATE}; find . -type f -exec sha256sum {{}} + -o -printf '%p %M\\n' | sort")).stdout
}

/// Puts the kept state in the place of the host's, but for what the kernel knows of the one attachment that
/// there is: a boot, a namespace and an id are not to be had again.
#[track_caller]
fn put_kept(host: &Host, one: &Attached) {
    let record = format!("{STATE}/attachments/{}.json", one.id);
    let present: Value = host.run(["cat", &record]).json();
    let mut old: Value = serde_json::from_str(&kept(&format!("attachments/{RECORD}"))).expect("a record");
    old["boot"] = present["boot"].clone();
    for field in ["id", "uid", "gid", "address", "mac", "namespace"] {
        old["attachment"][field] = present["attachment"][field].clone();
    }
    // The bridge's MAC is made of it, which the container has as its gateway's.
    let instance = host.run(["cat", &format!("{STATE}/instance")]).stdout;
    host.sh(&format!("rm -r {STATE}; mkdir -m 700 {STATE}"));
    host.write(format!("{STATE}/instance"), instance);
    host.write(&record, old.to_string());
    for file in ["guard", "key", "sysctls.json", "audit/audit.log"] {
        host.write(format!("{STATE}/{file}"), kept(file));
    }
}

#[test]
fn the_kept_state_is_read() {
    let (host, mut daemon, namespace, one) = stopped();
    put_kept(&host, &one);
    daemon.start();
    let shown = host.run(["v6pod", "show", "--json", &one.id]).json()["attachment"].take();
    assert_eq!((&shown["address"], &shown["name"]), (&one.address.as_str().into(), &"web".into()), "{shown}");
    assert_eq!((&shown["inbound"], &shown["aliases"][0]), (&"80/tcp".into(), &"www".into()), "{shown}");
    host.run(["v6pod", "check", &one.id]);
    namespace.inside(&["ping", "-6", "-c1", "-W2", "2001:db8:1::1"]).run();
    // The audit of that time, too.
    let history = host.run(["v6pod", "history", "--json", ADDRESS]).json();
    assert!(history.to_string().contains("0123456789abcdef"), "{history}");
    assert_eq!(host.run(["cat", &format!("{STATE}/key")]).stdout, kept("key"));
    assert_eq!(host.run(["cat", &format!("{STATE}/version")]).text(), "1");
    daemon.stop();
    let cleaned = host.run(["v6pod", "cleanup", "--all"]);
    assert!(
        cleaned.stdout.contains("net.ipv6.conf.all.forwarding"),
        "what sysctls were is not read: {cleaned}"
    );
}

#[test]
fn newer_state_is_refused_with_nothing_touched() {
    let (host, mut daemon, namespace, one) = stopped();
    let record = format!("{STATE}/attachments/{}.json", one.id);
    let text = host.run(["cat", &record]).stdout;
    let newer_record = text.replacen("\"version\":1", "\"version\":2", 1);
    assert_ne!(text, newer_record);
    // What belongs into the directory may be of a form that nobody can know yet.
    for (file, newer, older) in [
        (format!("{STATE}/version"), "2\n", "1\n"),
        (record.clone(), newer_record.as_str(), text.as_str()),
        (format!("{STATE}/version"), "4294967295\n", "1\n"),
    ] {
        host.write(&file, newer);
        // Whatever it would put right at a start is left as it is, too.
        host.run(["ip", "link", "set", &format!("v6p{}", one.id), "alias", "altered"]);
        host.run(["ip", "link", "set", "v6pod0", "mtu", "1400"]);
        let (before, present) = (host.snapshot(), files(&host));
        daemon.launch();
        let status = daemon.wait(LATER);
        assert_eq!(status.code(), Some(78), "{}", daemon.log());
        let log = daemon.log();
        let said = log.lines().rev().find(|line| line.starts_with("v6podd: ")).unwrap_or_default();
        for word in [file.as_str(), "newer v6podd", "this one knows 1", "install that version again"] {
            assert!(said.contains(word), "{word} is missing: {log}");
        }
        assert_eq!(before.difference(&host.snapshot()), "");
        assert_eq!(files(&host), present);
        assert!(host.try_run(["test", "-e", "/run/v6pod/v6pod.sock.new"]).status.code() == Some(1));
        host.write(&file, older);
    }
    daemon.start();
    host.run(["v6pod", "check", &one.id]);
    namespace.inside(&["ping", "-6", "-c1", "-W2", "2001:db8:1::1"]).run();
}

#[test]
fn what_is_no_version_is_refused() {
    let (host, mut daemon, _namespace, _) = stopped();
    host.write(format!("{STATE}/version"), "two\n");
    daemon.launch();
    assert_eq!(daemon.wait(LATER).code(), Some(1), "{}", daemon.log());
    assert!(daemon.log().contains("version holds \"two\""), "{}", daemon.log());
}

#[test]
fn two_daemons_do_not_share_a_state() {
    let (host, mut daemon, _namespace, one) = stopped();
    daemon.start();
    let before = host.snapshot();
    host.write("/etc/other.toml", format!("{CONFIGURATION}[socket]\npath = \"/run/other.sock\"\n"));
    let other = host.try_run(["v6podd", "--config", "/etc/other.toml"]);
    assert_eq!(other.status.code(), Some(1), "{other}");
    let pid = host.sh(&format!("cat {STATE}/lock")).text().to_owned();
    assert!(
        other.stderr.contains(&format!("another v6podd (process {pid}) keeps its records in {STATE}")),
        "{other}"
    );
    assert_eq!(before.difference(&host.snapshot()), "");
    // Nor does a killed one's lock keep the next from starting.
    daemon.kill9();
    daemon.start();
    host.run(["v6pod", "check", &one.id]);
}

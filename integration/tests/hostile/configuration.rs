//! Configurations that cannot work: refused before anything is touched.

use std::{fs, os::unix::fs::PermissionsExt as _};

use v6pod_integration::{Daemon, Host, LATER};

const FILE: &str = "/etc/v6pod/v6podd.toml";
/// sysexits.h: EX_CONFIG.
const CONFIG: i32 = 78;

/// Texts that are wrong in themselves, and what is said of each.
const WRONG: &[(&str, &[&str])] = &[
    ("prefix = ", &["line 1, column "]),
    ("prefix = \"2001:db8::/80\"\n[network.a\n", &["line 2, column "]),
    ("prefix = \"2001:db8::/80\"\nprefxi = 1\n", &["line 2, column 1", "unknown field `prefxi`"]),
    ("[network.a]\nprefix = \"2001:db8::/80\"\n  capasity = 5\n", &["line 3, column 3", "capasity"]),
    ("prefix = 80\n", &["line 1, column 10"]),
    ("prefix = \"2001:db8::/129\"\n", &["line 1, column 10"]),
    ("prefix = \"192.0.2.0/24\"\n", &["line 1, column 10"]),
    ("namespace_proof = \"none\"\n", &["line 1, column 19", "unknown variant `none`"]),
    ("\0", &["line 1, column "]),
    ("prefix = \"2001:db8::/81\"\n", &["is a /81", "needs a /64 to a /80"]),
    ("prefix = \"2001:db8::1/80\"\n", &["write 2001:db8::/80"]),
    ("[network.a]\nprefix = \"2001:db8::/80\"\nbridge = \"x/y\"\n", &["network.a.bridge", "\"x/y\""]),
    ("[network.a]\nprefix = \"2001:db8::/80\"\ncapacity = 0\n", &["network.a.capacity", "1 to 1023"]),
    (
        "[network.a]\nprefix = \"2001:db8::/64\"\n[network.b]\nprefix = \"2001:db8::/80\"\n",
        &["the prefixes of a and b overlap"],
    ),
    ("admin_group = \"nobodys\"\n", &["there is no group \"nobodys\""]),
];

struct Start {
    host: Host,
    daemon: Daemon,
}

impl Start {
    fn new() -> Self {
        let host = Host::builder("one").without_wrapper().build();
        let daemon = Daemon::new(&host, "");
        Self { host, daemon }
    }

    /// Starts the daemon, which has to refuse with this status and these words, and leave the host as it was.
    #[track_caller]
    fn is_refused(&mut self, configuration: &str, code: i32, words: &[&str]) {
        self.daemon.configure(configuration);
        let before = self.host.snapshot();
        self.daemon.launch();
        let status = self.daemon.wait(LATER);
        let log = self.daemon.log();
        let said = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
        assert_eq!(status.code(), Some(code), "{configuration}\n{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} is not in {said}");
        let left = before.difference(&self.host.snapshot());
        assert!(left.is_empty(), "{configuration} left\n{left}");
        assert!(!self.daemon.socket().exists(), "there is a socket");
    }

    /// Asks the daemon to check, which has to say the same.
    #[track_caller]
    fn is_found(&self, configuration: &str, words: &[&str]) {
        self.daemon.configure(configuration);
        let output = self.host.try_run(["/usr/sbin/v6podd", "--config", FILE, "--check-config"]);
        assert_eq!(output.status.code(), Some(CONFIG), "{output}");
        assert!(words.iter().all(|word| output.stderr.contains(word)), "{words:?} is not in\n{output}");
        assert!(output.stderr.contains(FILE), "{output}");
    }
}

#[test]
fn what_is_wrong_in_itself_is_found_and_refused() {
    let mut start = Start::new();
    for (configuration, words) in WRONG {
        start.is_found(configuration, words);
        start.is_refused(configuration, CONFIG, words);
    }
    assert!(!start.host.path("/var/lib/v6pod").exists(), "state was kept");
    assert!(!start.host.path("/run/v6pod").exists(), "the socket's folder was made");
}

#[test]
fn a_file_that_others_may_write_to_is_not_believed() {
    let mut start = Start::new();
    let (right, file) = ("prefix = \"2001:db8::/80\"\n", start.host.path(FILE));
    for mode in [0o666, 0o664, 0o622] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a file of the host");
        start.is_found(right, &["others than root may write to it"]);
        start.is_refused(right, CONFIG, &["others than root may write to it"]);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a file of the host");
    std::os::unix::fs::chown(&file, Some(1000), None).expect("a file of the host");
    start.is_refused(right, CONFIG, &["others than root may write to it"]);
}

#[test]
fn a_prefix_that_is_in_use_is_refused() {
    let mut start = Start::new();
    start.host.sh("ip link add other type bridge; ip link set other addrgenmode none; ip link set other up");
    for address in ["2001:db8::1/80", "2001:db8::7/128", "2001:db8::5:0:1/96"] {
        start.host.run(["ip", "address", "add", address, "dev", "other", "nodad"]);
        start.is_refused(
            "prefix = \"2001:db8::/80\"\n",
            1,
            &["the prefix 2001:db8::/80 overlaps", "on other"],
        );
        start.host.run(["ip", "address", "del", address, "dev", "other"]);
    }
    start.host.run(["ip", "route", "add", "2001:db8::/112", "dev", "other"]);
    start.is_refused("prefix = \"2001:db8::/80\"\n", 1, &["overlaps 2001:db8::/112 on other"]);
}

#[test]
fn a_bridge_that_is_not_ours_is_not_touched() {
    let mut start = Start::new();
    start.host.sh("ip link add theirs type bridge; ip link add wire type veth peer name eriw");
    let network = |more: &str| format!("[network.a]\nprefix = \"2001:db8::/80\"\n{more}\n");
    start.is_refused(
        &network("bridge = \"theirs\""),
        1,
        &["theirs exists and v6podd did not make it", "join = "],
    );
    start.is_refused(&network("bridge = \"wire\""), 1, &["wire is a veth and not a bridge"]);
    start.is_refused(&network("join = \"wire\""), 1, &["wire is a veth and not a bridge"]);
    start.is_refused(&network("bridge = \"lo\""), 1, &["lo is ", "not a bridge"]);
    start.is_refused(&network("join = \"absent\""), 1, &["the bridge absent does not exist"]);
}

#[test]
fn one_impossible_network_keeps_the_others_from_being_made() {
    let mut start = Start::new();
    start
        .host
        .sh("ip link add theirs type bridge; ip link set theirs addrgenmode none; ip link set theirs up");
    start.host.run(["ip", "address", "add", "2001:db8:2::1/80", "dev", "theirs", "nodad"]);
    let possible = "[network.a]\nprefix = \"2001:db8:1::/80\"\n";
    let overlapping = format!("{possible}[network.b]\nprefix = \"2001:db8:2::/80\"\n");
    start.is_refused(&overlapping, 1, &["the network b cannot be set up", "overlaps"]);
    let not_ours = format!("{possible}[network.b]\nprefix = \"2001:db8:3::/80\"\nbridge = \"theirs\"\n");
    start.is_refused(&not_ours, 1, &["the network b cannot be set up", "did not make it"]);
}

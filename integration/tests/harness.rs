//! The harness itself: what a test host is, and that nothing of it remains.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    panic::{self, AssertUnwindSafe},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use v6pod_integration::{Consul, Host, LATER, Net, PYTHON, Signal, eventually};

/// The identities of a host's network, mount and PID namespace, such as `net:[4026532000]`.
fn namespaces(host: &Host) -> Vec<String> {
    ["net", "mnt", "pid"]
        .map(|kind| namespace_of(&host.pid().to_string(), kind).expect("a living host"))
        .into()
}

fn namespace_of(pid: &str, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    link.to_str().map(str::to_owned)
}

/// The machine's processes that are in one of these namespaces, or `Ok` when there is none.
fn nothing_is_in(namespaces: &[String]) -> Result<(), String> {
    let processes = fs::read_dir("/proc").expect("/proc can be read").filter_map(Result::ok);
    let left: Vec<_> = processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.parse::<u32>().is_ok())
        .filter(|pid| {
            ["net", "mnt", "pid"]
                .iter()
                .filter_map(|kind| namespace_of(pid, kind))
                .any(|namespace| namespaces.contains(&namespace))
        })
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or(pid))
        .collect();
    if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) }
}

fn nothing_remains(namespaces: &[String]) {
    eventually(LATER, || nothing_is_in(namespaces));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc can be read");
    assert!(!mounts.contains(" tmpfs v6pod-test "), "mounts remain on the machine:\n{mounts}");
}

/// A host with a user's container running in it.
fn host_with_container() -> Host {
    let host = Host::builder("one").user("alice").without_wrapper().build();
    host.user("alice").podman(["run", "-d", "--name", "web", "busybox", "sleep", "1000"]);
    host
}

#[test]
fn two_hosts_run_containers_and_reach_each_other() {
    let net = Net::new();
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(host_with_container);
        let other = scope.spawn(host_with_container);
        (one.join().expect("the first host"), other.join().expect("the second host"))
    });
    let (link, other_link) = (net.join(&one), net.join(&other));

    one.run(["ping", "-6", "-c1", "-W2", &other_link.address]);
    other.run(["ping", "-6", "-c1", "-W2", Net::OUTSIDE]);
    one.run(["ping", "-4", "-c1", "-W2", &other_link.address_v4]);

    // The /80 is routed: an address of it is reached from the other host.
    one.run(["ip", "address", "add", &format!("{}/128", link.gateway), "dev", "lo"]);
    other.run(["ping", "-6", "-c1", "-W2", &link.gateway]);

    // The containers have slirp4netns' network, as without v6pod.
    let alice = other.user("alice");
    assert!(alice.podman(["exec", "web", "ip", "address"]).stdout.contains("10.0.2.100/24"));
    assert_ne!(alice.uid(), one.user("alice").uid());
    net.cut(&link);
    other.try_run(["ping", "-6", "-c1", "-W1", &link.gateway]).expect_failure();
    net.mend(&link);
    other.run(["ping", "-6", "-c1", "-W2", &link.gateway]);

    // A link goes with its network namespace, so nothing keeps the host's alive.
    drop(one);
    let end = ["ip", "link", "show", &link.router_interface];
    eventually(LATER, || if net.router().try_run(end).success() { Err("the link is there") } else { Ok(()) });
}

#[test]
fn containers_reach_the_outside_over_slirp4netns() {
    let net = Net::new();
    let host = host_with_container();
    net.join(&host);
    let _server = net.router().spawn(["busybox", "httpd", "-f", "-h", "/usr/local/lib/v6pod-test/image"]);
    let url = format!("http://{}/format", Net::OUTSIDE_V4);
    eventually(LATER, || {
        let output = host.user("alice").try_podman(["exec", "web", "wget", "-q", "-O-", &url]);
        if output.success() { Ok(()) } else { Err(output) }
    });
}

#[test]
fn a_dropped_host_leaves_nothing() {
    let host = host_with_container();
    let server = host.spawn(["sleep", "1000"]);
    let namespaces = namespaces(&host);
    assert!(nothing_is_in(&namespaces).is_err(), "the check sees a living host");
    drop(server);
    drop(host);
    nothing_remains(&namespaces);
}

#[test]
fn a_panicking_test_leaves_nothing() {
    let mut seen = Vec::new();
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let host = host_with_container();
        let _server = host.spawn(["sh", "-c", "echo words of the server; sleep 1000"]);
        seen = namespaces(&host);
        panic!("on purpose");
    }));
    assert!(result.is_err());
    nothing_remains(&seen);
}

#[test]
fn a_killed_test_process_leaves_nothing() {
    const CHILD: &str = "V6POD_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        let host = host_with_container();
        let _server = host.spawn(["sleep", "1000"]);
        eprintln!("namespaces {}", namespaces(&host).join(" "));
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(env::current_exe().expect("this program has a path"))
        .args(["--exact", "a_killed_test_process_leaves_nothing", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let line = stderr.lines().map_while(Result::ok).find_map(|line| {
        line.strip_prefix("namespaces ").map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
    });
    let namespaces = line.expect("the child made a host");
    assert!(nothing_is_in(&namespaces).is_err(), "the check sees a living host");
    child.kill().expect("it can be killed");
    assert_eq!(child.wait().expect("it ended").signal(), Some(9));
    nothing_remains(&namespaces);
}

#[test]
fn a_host_changes_nothing_of_the_machine() {
    let host = Host::builder("one").user("alice").without_wrapper().build();
    host.write("/etc/v6pod/v6podd.toml", "mine");
    host.write("/usr/share/v6pod-test", "mine");
    host.write("/var/lib/v6pod/state", "mine");
    host.write("/run/v6pod-test", "mine");
    for path in ["/etc/v6pod/v6podd.toml", "/usr/share/v6pod-test", "/var/lib/v6pod/state", "/run/v6pod-test"]
    {
        assert!(host.path(path).exists() && !fs::exists(path).expect("it can be looked for"), "{path}");
    }
    assert_eq!(host.run(["hostname"]).text(), "one");
    assert_eq!(host.user("alice").run(["whoami"]).text(), "alice");
    assert_eq!(host.user("alice").run(["pwd"]).text(), "/home/alice");
    assert_eq!(host.user("alice").command(["cat"]).input("words").run().text(), "words");
    assert_eq!(host.run(["ls", "/sys/class/net"]).text(), "lo");
}

#[test]
fn podman_runs_pods_and_mapped_users_and_writes_into_containers() {
    let host = Host::builder("one").user("alice").user("bob").without_wrapper().build();
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    alice.podman(["pod", "create", "--name", "pod"]);
    alice.podman(["run", "-d", "--pod", "pod", "--name", "member", "busybox", "sleep", "1000"]);
    let mapped = alice.podman(["run", "--rm", "--userns=keep-id", "busybox", "id", "-u"]);
    assert_eq!(mapped.text(), alice.uid().to_string());
    alice.podman(["exec", "member", "sh", "-c", "echo words >/etc/words"]);

    let folders = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];
    let command =
        ["podman", "run", "--rm"].iter().chain(&folders).chain(&["busybox", "/usr/bin/iperf3", "-v"]);
    assert!(bob.run(command).stdout.contains("iperf 3"));
    assert!(!bob.podman(["ps", "--all"]).stdout.contains("member"));
    assert!(alice.container_net("member", ["ip", "-4", "address"]).run().stdout.contains("10.0.2.100/24"));
    host.run(["pkill", "-9", "slirp4netns"]);
    alice.podman(["pod", "rm", "--force", "--time=0", "pod"]);
}

#[test]
fn supplies_are_there_for_users_too() {
    let host = Host::builder("one").user("alice").without_wrapper().build();
    let alice = host.user("alice");
    alice.run(["grpcurl", "-version"]);
    alice.run([PYTHON, "-c", "import grpc, grpc_tools"]);
    assert!(alice.run(["consul", "version"]).stdout.starts_with("Consul v1.8.7"));
    alice.sh("exec 3<>/dev/net/tun 4<>/dev/fuse");
}

#[test]
fn a_snapshot_sees_what_changed() {
    let host = Host::builder("one").without_wrapper().build();
    let before = host.snapshot();
    host.sh("ip link add br0 type bridge; nft add table inet t; ip route add blackhole 2001:db8::/32");
    let difference = before.difference(&host.snapshot());
    for change in
        ["links: + br0", "nftables: + table inet t", "routes: + blackhole 2001:db8::/32", "sysctls: +"]
    {
        assert!(difference.contains(change), "{change} is missing in\n{difference}");
    }
    host.sh("ip link del br0; nft delete table inet t; ip route del blackhole 2001:db8::/32");
    eventually(LATER, || before.same_as(&host.snapshot()));
}

#[test]
fn background_commands_can_be_signalled_and_end_when_dropped() {
    let host = Host::builder("one").without_wrapper().build();
    let mut server =
        host.spawn(["bash", "-c", "trap 'echo ended; exit 3' TERM; echo up; while :; do sleep 0.01; done"]);
    eventually(LATER, || if server.log() == "up\n" { Ok(()) } else { Err(server.log()) });
    server.signal(Signal::TERM);
    assert_eq!(server.wait(LATER).code(), Some(3));
    assert_eq!(server.log(), "up\nended\n");

    drop(host.spawn(["sleep", "999"]));
    assert_eq!(host.try_run(["pgrep", "-x", "sleep"]).stdout, "");
}

#[test]
fn consul_can_be_stopped_and_keeps_or_forgets() {
    let host = Host::builder("one").without_wrapper().build();
    let mut consul = Consul::on_disk(&host);
    consul.put("agent/service/register", &serde_json::json!({"Name": "web", "Address": "2001:db8::7"}));
    let answer = ["2001:db8::7"];
    eventually(LATER, || match consul.lookup("web.service.consul", "AAAA") {
        found if found == answer => Ok(()),
        found => Err(format!("{found:?}")),
    });
    consul.kill9();
    assert!(consul.lookup("web.service.consul", "AAAA").is_empty());
    consul.start();
    assert_eq!(consul.lookup("web.service.consul", "AAAA"), answer);
    consul.stop();
    consul.wipe();
    consul.start();
    assert!(consul.lookup("web.service.consul", "AAAA").is_empty());
    assert!(consul.get("agent/services").as_object().is_some_and(serde_json::Map::is_empty));
}

#[test]
fn hosts_are_cheap() {
    let start = Instant::now();
    let host = Host::builder("one").user("alice").without_wrapper().build();
    let made = start.elapsed();
    let alice = host.user("alice");
    alice.podman(["run", "--rm", "busybox", "true"]);
    let first = start.elapsed() - made;
    alice.podman(["run", "--rm", "busybox", "true"]);
    let second = start.elapsed() - made - first;
    drop(alice);
    drop(host);
    let gone = start.elapsed() - made - first - second;
    eprintln!("host {made:?}, first podman run {first:?}, second {second:?}, end {gone:?}");
    // Far above what it takes (see the line above), for busy machines.
    assert!(made < LATER / 3 && first < LATER, "{made:?}, {first:?}");
}

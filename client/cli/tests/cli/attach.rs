//! `v6pod attach`: what is passed to the daemon, and for how long.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::fd::OwnedFd,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::fstat,
    process::{Pid, Signal, kill_process},
};
use tonic::Status;
use v6pod_proto::v1::ActivateRequest;

use crate::{
    Site,
    daemon::{Answers, Call},
};

/// The request, the namespace and the lease of the next call.
fn activation(site: &Site) -> (ActivateRequest, OwnedFd, Option<OwnedFd>) {
    let Call::Activate(request, descriptors) = site.daemon.call() else { panic!("another call") };
    let mut descriptors = descriptors.into_iter();
    let activation = (request, descriptors.next().unwrap(), descriptors.next());
    assert!(descriptors.next().is_none());
    activation
}

/// Whether nobody holds the lease any more, or does not within `wait`.
fn ends(lease: &OwnedFd, wait: Duration) -> bool {
    let mut polled = [PollFd::new(lease, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::try_from(wait).unwrap())).unwrap();
    polled[0].revents().contains(PollFlags::HUP)
}

const SOON: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;

#[test]
fn a_process_is_attached_as_asked() {
    let site = Site::new(Answers::default());
    let pid = std::process::id().to_string();
    let options = "--network lan --name web --container-id c0ffee --interface eth0 --address 2001:DB8:0::7 \
        --mac 02:00:00:00:00:07 --mtu 1400 --alias www --tag blue --inbound 80/tcp";
    let mut arguments = vec!["attach", "--no-default-route"];
    arguments.extend(options.split_whitespace());
    arguments.push(&pid);
    site.run(&arguments)
        .gives(&format!("process {pid}: attached as 2001:db8::242:ac11:2 (v6pod0, web.v6pod)\n"));
    let (request, namespace, lease) = activation(&site);
    let expected = ActivateRequest {
        network: "lan".to_owned(),
        container_id: "c0ffee".to_owned(),
        name: "web".to_owned(),
        interface: "eth0".to_owned(),
        address: "2001:db8::7".to_owned(),
        no_default_route: true,
        mac: "02:00:00:00:00:07".to_owned(),
        mtu: 1400,
        aliases: vec!["www".to_owned()],
        tags: vec!["blue".to_owned()],
        inbound: "80/tcp".to_owned(),
    };
    assert_eq!(request, expected);
    let own = std::fs::File::open("/proc/self/ns/net").unwrap();
    assert_eq!(fstat(namespace).unwrap().st_ino, fstat(own).unwrap().st_ino);
    assert!(lease.is_none());
}

#[test]
fn a_path_is_attached() {
    let site = Site::new(Answers { created: false, ..Default::default() });
    let ran = site.run(&["attach", "/proc/self/ns/net"]);
    assert!(ran.stdout.starts_with("/proc/self/ns/net: is attached already, as 2001:db8::"), "{ran:?}");
    let (request, ..) = activation(&site);
    assert_eq!(request, ActivateRequest::default());
}

#[test]
fn json_is_the_answer() {
    let answer = Site::new(Answers::default()).run(&["attach", "/proc/self/ns/net", "--json"]).json();
    assert_eq!((&answer["created"], &answer["dns_servers"][0]), (&true.into(), &"2001:db8::1".into()));
    assert_eq!(answer["attachment"]["address"], "2001:db8::242:ac11:2");
}

#[test]
fn what_cannot_be_opened_is_not_passed() {
    let site = Site::new(Answers::default());
    site.run(&["attach", "4000000000"]).fails(3, "v6pod: there is no process 4000000000");
    site.run(&["attach", "/nonexistent"]).fails(
        3,
        "v6pod: there is no /nonexistent: give a process's number or the path of a network namespace",
    );
    assert!(site.daemon.is_quiet());
}

#[test]
fn refusals_name_the_target() {
    let refusal = Some(Status::already_exists("the name web is taken by another container"));
    let site = Site::new(Answers { refusal, ..Default::default() });
    site.run(&["attach", "--name", "web", "/proc/self/ns/net", "--", "touch", "/nonexistent/x"])
        .fails(1, "v6pod: cannot attach /proc/self/ns/net: the name web is taken by another container");
    let (.., lease) = activation(&site);
    assert!(ends(&lease.unwrap(), SOON));
}

/// Attaches for the time of this shell script, which has run up to its first line of output.
fn start(site: &Site, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = site.command(&["attach", "/proc/self/ns/net", "--", "sh", "-c", script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, stdout)
}

#[test]
fn the_lease_ends_with_the_command_and_its_code_is_passed_on() {
    let site = Site::new(Answers::default());
    // What stays in the background, with all it inherited, does not prolong the lease.
    let (mut child, _) = start(&site, "sleep 60 >/dev/null 2>&1 & echo ready; read line; kill $!; exit 7");
    let (.., lease) = activation(&site);
    let lease = lease.unwrap();
    assert!(!ends(&lease, NOW));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(ends(&lease, SOON));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("/proc/self/ns/net: attached as 2001:db8::242:ac11:2 (v6pod0, "), "{said}");
}

#[test]
fn the_command_inherits_no_lease() {
    let site = Site::new(Answers::default());
    let script = "sleep 60 >/dev/null 2>&1 & echo ready; echo $!; exit 0";
    let (mut child, mut stdout) = start(&site, script);
    let (.., lease) = activation(&site);
    let mut pid = String::new();
    stdout.read_line(&mut pid).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(ends(&lease.unwrap(), SOON));
    let sleeping = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(sleeping, Signal::KILL).expect("it is still there");
}

#[test]
fn signals_reach_the_command() {
    let site = Site::new(Answers::default());
    let (mut child, _) = start(&site, "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let (mut child, _) = start(&site, "echo ready; exec sleep 60");
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    // An interrupt is the terminal's to send.
    let (mut child, _) = start(&site, "echo ready; read line; exit 5");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn commands_that_cannot_run() {
    let site = Site::new(Answers::default());
    for (program, code) in [("/nonexistent/program", 127), ("/etc/passwd", 126)] {
        let ran = site.run(&["attach", "/proc/self/ns/net", "--", program]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.lines().last().unwrap().starts_with(&format!("v6pod: cannot run {program}: ")));
        let (.., lease) = activation(&site);
        assert!(ends(&lease.unwrap(), SOON));
    }
}

#[test]
fn what_an_attachment_does_not_take_over_is_told() {
    let site = Site::new(Answers { created: false, ..Default::default() });
    let attach = |options: &str| {
        let mut arguments = vec!["attach", "/proc/self/ns/net"];
        arguments.extend(options.split_whitespace());
        let ran = site.run(&arguments);
        let _ = site.daemon.call();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.starts_with("/proc/self/ns/net: is attached already, as "), "{ran:?}");
        ran.stderr
    };
    assert_eq!(attach("--name other"), "v6pod: --name other was not used: detach it first\n");
    let expected = "v6pod: --network lan and --tag blue were not used: detach it first\n";
    assert_eq!(attach("--network lan --tag blue --interface v6pod0"), expected);
    assert_eq!(attach("--name Web --address 2001:db8:0:0::242:ac11:2"), "");
    // A new one gets what it asks for, or an error.
    let site = Site::new(Answers::default());
    assert_eq!(site.run(&["attach", "/proc/self/ns/net", "--name", "other"]).stderr, "");
}

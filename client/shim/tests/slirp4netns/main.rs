//! The built wrapper between an engine, a daemon and a real slirp4netns, all three made up.
//!
//! The wrapper believes a daemon only if it is root's, so these run as root.

// Clippy sees tests in functions marked so, not in their helpers.
#![allow(clippy::unwrap_used)]

mod daemon;
mod engine;

use std::{
    fs,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{MetadataExt as _, PermissionsExt},
            net::UnixListener,
        },
    },
    path::PathBuf,
    process::Command,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tonic::Status;

use crate::{
    daemon::{Daemon, attached},
    engine::{Engine, ID},
};

const ARGUMENTS: &str =
    "--mtu=65520 --enable-ipv6 -6cr3 -e 4 --outbound-addr6 ::1 --netns-type=path /proc/self/ns/net tap0";
const WITHOUT_IPV6: &str = "--mtu=65520 -cr3 -e 4 --netns-type=path /proc/self/ns/net tap0";

/// The one line on standard error, without its beginning and its end.
fn line(engine: &Engine) -> String {
    let stderr = engine.stderr();
    let line = stderr.strip_prefix("v6pod: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.filter(|line| !line.contains(char::is_control));
    line.unwrap_or_else(|| panic!("not one line: {stderr:?}")).to_owned()
}

/// Whether the last write end is closed, or will be before the time is up.
fn is_over(lease: &OwnedFd, within: Duration) -> bool {
    let within = Timespec::try_from(within).unwrap();
    let mut polled = [PollFd::new(lease, PollFlags::IN)];
    poll(&mut polled, Some(&within)).unwrap();
    polled[0].revents().contains(PollFlags::HUP)
}

fn link(descriptor: &OwnedFd) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap()
}

#[test]
fn attached_and_leased() {
    let engine = Engine::new().set("V6POD_NETWORK", "blue");
    let daemon = Daemon::start(&engine.socket(), attached);
    let mut started = engine.start(ARGUMENTS);
    let real = started.real();

    assert_eq!(real.arguments, WITHOUT_IPV6);
    let call = daemon.call();
    assert_eq!((call.request.container_id.as_str(), call.request.name.as_str()), (ID, "web"));
    assert_eq!((call.request.network.as_str(), call.request.interface.as_str()), ("blue", ""));
    let [namespace, lease] = call.descriptors.try_into().unwrap();
    let namespace = fs::File::from(namespace).metadata().unwrap();
    assert_eq!(namespace.ino(), fs::metadata("/proc/self/ns/net").unwrap().ino());

    // The engine's descriptors, and one more.
    let numbers: Vec<i32> = real.descriptors.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), 6, "{:?}", real.descriptors);
    assert_eq!(numbers[..5], [0, 1, 2, 3, 4]);
    let (number, pipe) = real.descriptors.last().unwrap();
    assert!(*number >= 10);
    assert_eq!(*pipe, link(&lease));

    assert!(!is_over(&lease, Duration::from_millis(100)));
    assert_eq!(started.stop(), 7);
    assert!(is_over(&lease, Duration::from_secs(5)));
    assert_eq!(engine.stderr(), "");
    assert!(daemon.is_quiet());
}

/// Everything a failure has in common: the original arguments, nothing left open, one line.
fn starts_without(engine: &Engine) -> (String, Duration) {
    let mut started = engine.start(ARGUMENTS);
    let real = started.real();
    assert_eq!(real.arguments, ARGUMENTS);
    assert!(real.descriptors.iter().all(|(number, _)| *number < 5), "{:?}", real.descriptors);
    assert_eq!(started.stop(), 7);
    let line = line(engine);
    let meaning = "; the container starts without IPv6 from v6pod";
    (line.strip_suffix(meaning).unwrap_or_else(|| panic!("{line}")).to_owned(), real.after)
}

#[test]
fn no_daemon() {
    let engine = Engine::new();
    let (line, after) = starts_without(&engine);
    let socket = engine.socket();
    let expected = "No such file or directory (os error 2) (is v6podd running?)";
    assert_eq!(line, format!("nothing listens on {}: {expected}", socket.display()));
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[test]
fn a_dead_daemon() {
    let engine = Engine::new();
    drop(UnixListener::bind(engine.socket()).unwrap());
    let (line, _) = starts_without(&engine);
    assert!(line.contains("Connection refused"), "{line}");
}

#[test]
fn a_relative_socket() {
    let engine = Engine::new().set("V6POD_SOCKET", "socket");
    let (line, _) = starts_without(&engine);
    assert_eq!(line, r#"V6POD_SOCKET must be an absolute path, not "socket""#);
}

#[test]
fn a_daemon_that_is_not_roots() {
    let engine = Engine::new();
    let socket = engine.socket();
    // The kernel notes who listens, and each thread can be somebody else.
    let listener = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        let root = rustix::process::Uid::ROOT;
        fs::set_permissions(socket.parent().unwrap(), PermissionsExt::from_mode(0o777)).unwrap();
        rustix::thread::set_thread_res_uid(root, nobody, root).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        rustix::thread::set_thread_res_uid(root, root, root).unwrap();
        listener
    });
    let _listener = listener.join().unwrap();
    let (line, _) = starts_without(&engine);
    assert_eq!(line, format!("{} belongs to uid 65534, not to root", engine.socket().display()));
}

#[test]
fn refused() {
    let engine = Engine::new();
    let daemon = Daemon::start(&engine.socket(), |_| {
        Some(Err(Status::permission_denied("the namespace is uid 5's\n\u{1b}[2J")))
    });
    let (line, _) = starts_without(&engine);
    assert_eq!(line, "v6podd refused: the namespace is uid 5's\\n\\u{1b}[2J");
    // It might have been about the name: so once more without, and then no more.
    let (first, second) = (daemon.call(), daemon.call());
    assert_eq!((first.request.name.as_str(), second.request.name.as_str()), ("web", ""));
    assert!(is_over(&second.descriptors[1], Duration::from_secs(5)));
    assert!(daemon.is_quiet());
}

#[test]
fn a_daemon_that_never_answers() {
    let engine = Engine::new();
    let daemon = Daemon::start(&engine.socket(), |_| None);
    let (line, after) = starts_without(&engine);
    assert_eq!(line, "v6podd did not answer within 2000 ms");
    assert!(after > Duration::from_millis(1990) && after < Duration::from_secs(4), "{after:?}");
    // What it may do later is over before it begins.
    assert!(is_over(&daemon.call().descriptors[1], Duration::from_secs(5)));
}

#[test]
fn a_daemon_that_never_accepts() {
    let engine = Engine::new();
    let listener = UnixListener::bind(engine.socket()).unwrap();
    let (line, after) = starts_without(&engine);
    assert_eq!(line, "v6podd did not answer within 2000 ms");
    assert!(after < Duration::from_secs(4), "{after:?}");
    drop(listener);
}

#[test]
fn a_full_queue_is_waited_for() {
    let engine = Engine::new();
    let listener = UnixListener::bind(engine.socket()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let blocking = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
    let (line, after) = starts_without(&engine);
    assert_eq!(line, "v6podd did not answer within 2000 ms");
    assert!(after > Duration::from_millis(1990) && after < Duration::from_secs(4), "{after:?}");
    drop(blocking);
}

#[test]
fn a_daemon_that_hangs_up() {
    let engine = Engine::new();
    let listener = UnixListener::bind(engine.socket()).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let (line, after) = starts_without(&engine);
    assert!(line.starts_with("v6podd hung up: ") || line.contains("does not speak gRPC"), "{line}");
    // It was called again, in case it was being replaced.
    assert!(after < Duration::from_secs(2), "{after:?}");
}

#[test]
fn in_a_user_namespace_root_is_still_known() {
    let engine = Engine::new().rootless();
    let daemon = Daemon::start(&engine.socket(), attached);
    fs::set_permissions(engine.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let mut started = engine.start(ARGUMENTS);
    assert_eq!(started.real().arguments, WITHOUT_IPV6);
    assert_eq!(daemon.call().request.name, "web");
    assert_eq!(started.stop(), 7);
    assert_eq!(engine.stderr(), "");
}

#[test]
fn a_name_that_is_taken() {
    for answer in [
        (|request| match request.name.as_str() {
            "web" => Some(Err(Status::already_exists("the name web is taken"))),
            _ => attached(request),
        }) as daemon::Answer,
        |request| match request.name.as_str() {
            "web" => Some(Err(Status::invalid_argument("the name web is taken"))),
            _ => attached(request),
        },
        // By a rule of the site's.
        |request| match request.name.as_str() {
            "web" => Some(Err(Status::permission_denied("the name web is taken"))),
            _ => attached(request),
        },
    ] {
        let engine = Engine::new();
        let daemon = Daemon::start(&engine.socket(), answer);
        let mut started = engine.start(ARGUMENTS);
        assert_eq!(started.real().arguments, WITHOUT_IPV6);
        let (first, second) = (daemon.call(), daemon.call());
        assert_eq!(second.request.name, "");
        assert_eq!((first.request.container_id, second.request.container_id.as_str()), (ID.to_owned(), ID));
        assert_eq!(link(&first.descriptors[1]), link(&second.descriptors[1]));
        assert!(!is_over(&second.descriptors[1], Duration::ZERO));
        assert_eq!(started.stop(), 7);
        assert!(is_over(&second.descriptors[1], Duration::from_secs(5)));
        assert_eq!(line(&engine), "the container has 2001:db8::2 but no name: the name web is taken");
    }
}

/// As `web`, and with the daemon there.
#[track_caller]
fn starts_with_an_address(engine: &Engine) {
    let daemon = Daemon::start(&engine.socket(), attached);
    let mut started = engine.start(ARGUMENTS);
    assert_eq!(started.real().arguments, WITHOUT_IPV6);
    assert_eq!(daemon.call().request.name, "web");
    assert_eq!(started.stop(), 7);
}

#[test]
fn required() {
    let engine = Engine::new().set("V6POD_REQUIRED", "1");
    assert_eq!(engine.start(ARGUMENTS).end(), 1);
    let line = line(&engine);
    assert!(line.ends_with("; the container does not start, for an address is required"), "{line}");
    assert!(!engine.at("pid").exists());

    starts_with_an_address(&engine);
}

#[test]
fn what_is_none_of_ours_passes_unchanged() {
    for (log, arguments) in [
        ("x.log", "--help"),
        ("x.log", "-6 --version"),
        ("x.log", "-6 --target-type=bess /socket"),
        ("x.log", "-6 --netns-type=tapfd 5 tap0"),
        ("x.log", "-6 --no-such-option 1 tap0"),
        ("x.log", "-6 -r3"),
        ("slirp4netns-rootless-netns.log", ARGUMENTS),
        ("slirp4netns-rootless-cni.log", ARGUMENTS),
    ] {
        let engine = Engine::new().log(log).set("V6POD_REQUIRED", "1");
        let daemon = Daemon::start(&engine.socket(), attached);
        let mut started = engine.start(arguments);
        assert_eq!(started.real().arguments, arguments);
        assert_eq!(started.stop(), 7);
        assert_eq!(engine.stderr(), "");
        assert!(daemon.is_quiet(), "{arguments}");
    }
}

#[test]
fn a_process_as_the_target() {
    let engine = Engine::new().log("x.log");
    let daemon = Daemon::start(&engine.socket(), attached);
    let arguments = format!("-c -r 3 -e 4 {} tap0", std::process::id());
    let mut started = engine.start(&arguments);
    assert_eq!(started.real().arguments, arguments);
    let call = daemon.call();
    assert_eq!((call.request.container_id.as_str(), call.request.name.as_str()), ("", ""));
    assert_eq!(call.descriptors.len(), 2);
    assert_eq!(started.stop(), 7);
}

#[test]
fn a_namespace_that_is_gone() {
    let engine = Engine::new();
    let daemon = Daemon::start(&engine.socket(), attached);
    let mut started = engine.start("-6cr3 -e4 --netns-type=path /nonexistent tap0");
    assert_eq!(started.real().arguments, "-6cr3 -e4 --netns-type=path /nonexistent tap0");
    assert_eq!(started.stop(), 7);
    // The real one will say so itself.
    assert_eq!(engine.stderr(), "");
    assert!(daemon.is_quiet());

    let engine = engine.set("V6POD_REQUIRED", "1");
    assert_eq!(engine.start("-c --netns-type=path /nonexistent tap0").end(), 1);
    assert!(line(&engine).starts_with("cannot open the network namespace /nonexistent: "));
}

#[test]
fn nothing_to_execute() {
    let engine = Engine::new().set("V6POD_SLIRP4NETNS", "/nonexistent");
    let daemon = Daemon::start(&engine.socket(), attached);
    assert_eq!(engine.start(ARGUMENTS).end(), 127);
    assert_eq!(line(&engine), "cannot execute /nonexistent: No such file or directory (os error 2)");
    assert!(is_over(&daemon.call().descriptors[1], Duration::from_secs(5)));
}

#[test]
fn a_copy_of_the_wrapper_is_not_executed_forever() {
    let engine = Engine::new();
    fs::create_dir(engine.at("copy")).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_v6pod-shim"), engine.at("copy/slirp4netns")).unwrap();
    let engine = engine.set("V6POD_SLIRP4NETNS", "copy/slirp4netns");
    let engine = engine.set("PATH", "/nonexistent");
    assert_eq!(engine.start("--help").end(), 127);
    assert!(line(&engine).contains("another copy of this wrapper"));
    let engine = engine.set("V6POD_SLIRP4NETNS", "slirp4netns");
    assert_eq!(engine.start("--help").end(), 127);
    assert!(line(&engine).contains("is this wrapper itself"));
}

#[test]
fn an_unknown_name_gets_the_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_v6pod-shim")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("Link it as one of these"));
}

/// The file that is meant is the host's own: the wrapper sees another `/etc`, in a mount namespace of its own.
#[test]
fn a_mistake_in_the_settings_requires_an_address() {
    let engine = Engine::new().settings("requierd = true\n");
    assert_eq!(engine.start(ARGUMENTS).end(), 1);
    let problem = "; the container does not start, for an address is required";
    let mistake = "/etc/v6pod/client.toml:1: there is no setting \"requierd\" here; until that is put right, \
        an address is required";
    assert!(line(&engine).ends_with(&format!("{problem}; {mistake}")), "{}", engine.stderr());
    assert!(!engine.at("pid").exists());

    // With an address, the container starts, and the mistake is told.
    starts_with_an_address(&engine);
    assert_eq!(line(&engine), mistake);

    // The control: the same file without the mistake lets it start without one.
    let engine = Engine::new().settings("required = false\n");
    let mut started = engine.start(ARGUMENTS);
    assert_eq!(started.real().arguments, ARGUMENTS);
    assert_eq!(started.stop(), 7);
}

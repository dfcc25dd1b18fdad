//! What whoever starts v6podd, or reloads it, is told of a slip.

use std::time::Duration;

use v6pod_integration::{Daemon, Host, Signal, eventually};

const LIMIT: Duration = Duration::from_secs(5);
const CONFIGURATION: &str = "prefix = \"2001:db8:1::/80\"\n";

fn host() -> Host {
    Host::builder("one").user("alice").without_wrapper().build()
}

#[test]
fn who_is_not_root_is_told_so() {
    let host = host();
    let _configured = Daemon::new(&host, CONFIGURATION);
    let started = host.user("alice").try_run(["/usr/sbin/v6podd"]);
    assert_eq!(started.status.code(), Some(1), "{started}");
    assert!(started.stderr.contains("v6podd has to be started by root"), "{started}");
    // Looking is free.
    host.user("alice").run(["/usr/sbin/v6podd", "--check-config"]);
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let host = host();
    let mut daemon = Daemon::new(&host, CONFIGURATION);
    let started = host.try_run(["v6podd", "--log", "verbose"]);
    assert_eq!(started.status.code(), Some(64), "{started}");
    assert!(started.stderr.contains("\"verbose\" is no level: write error, warn"), "{started}");
    daemon.env("V6PODD_LOG", "v6podd=debug").start();
    assert!(daemon.log().contains("ready"), "{}", daemon.log());
}

#[test]
fn a_refused_reload_tells_the_line_in_one() {
    let host = host();
    let mut daemon = host.daemon(CONFIGURATION);
    daemon.configure(&format!("{CONFIGURATION}\n[[rule]]\natachments = 3\n"));
    daemon.process().signal(Signal::HUP);
    let line = eventually(LIMIT, || {
        let log = daemon.log();
        log.lines().find(|line| line.contains("not reloaded")).map(str::to_owned).ok_or(log)
    });
    assert!(line.contains("line 4, column 1: unknown field `atachments`"), "{line}");
    assert!(!line.contains(" | "), "it shows a picture: {line}");
}

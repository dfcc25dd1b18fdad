//! A bare Debian 12 in a test host, to install packages into.

use std::{fs, path::Path, time::Duration};

use v6pod_integration::{Command, Host, Net, Output, cache};

/// Where it is in the host.
pub const ROOT: &str = "/srv/root";

/// What is called in its place says so in a file, and does nothing else; as systemctl it knows what was started.
const RECORDER: &str = r#"#!/bin/sh
echo "${0##*/} $*" >>/var/log/recorded
case " $* " in
*" is-enabled "*) echo enabled ;;
*" is-active "*) test -e /run/started ;;
*" start "*) : >/run/started ;;
esac
"#;

/// The host, with the root file system at [`ROOT`], and a mount namespace that has it as its own.
pub struct Root {
    pub host: Host,
    namespace: String,
    _net: Net,
}

impl Root {
    /// A root file system of its own, with the host's user alice.
    #[track_caller]
    pub fn new() -> Self {
        let made = cache().join("bare/root");
        assert!(made.exists(), "{}: not there; run integration/prepare", made.display());
        let net = Net::new();
        let host = Host::builder("bare").user("alice").without_wrapper().build();
        net.join(&host);
        let pid = host.run(["bash", "-c", include_str!("root.sh")]);
        let namespace = format!("--mount=/proc/{}/ns/mnt", pid.text());
        Self { host, namespace, _net: net }
    }

    /// A command of root's in it.
    pub fn command(&self, script: &str) -> Command {
        let enter = ["nsenter", &self.namespace, "--wdns=/root", "--", "sh", "-euc", script];
        self.host.command(enter).env("HOME", "/root").limit(Duration::from_secs(240))
    }

    /// A command of alice's in it.
    pub fn alices(&self, script: &str) -> Command {
        let uid = self.host.user("alice").uid().to_string();
        let become_alice =
            ["setpriv", "--reuid", &uid, "--regid", &uid, "--init-groups", "sh", "-euc", script];
        let enter = ["nsenter", &self.namespace, "--wdns=/home/alice", "--"];
        let command = self.host.command(enter.iter().chain(&become_alice));
        command
            .env("HOME", "/home/alice")
            .env("USER", "alice")
            .env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"))
    }

    /// Runs a script of root's in it; panics unless it succeeds.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.command(script).run()
    }

    /// Copies a package of this machine into it, to /root, and says under which name.
    #[track_caller]
    pub fn receive(&self, package: &Path) -> String {
        let name =
            package.file_name().and_then(|name| name.to_str()).expect("packages have names").to_owned();
        let octets = fs::read(package).unwrap_or_else(|error| panic!("{}: {error}", package.display()));
        self.host.write(format!("{ROOT}/root/{name}"), octets);
        name
    }

    /// Puts a program there that says in a file how it was called, and does nothing else.
    #[track_caller]
    pub fn record(&self, program: &str) {
        self.host.write(format!("{ROOT}{program}"), RECORDER);
        self.host.run(["chmod", "755", &format!("{ROOT}{program}")]);
    }

    /// How the recording programs were called since this was asked last.
    #[track_caller]
    pub fn recorded(&self) -> Vec<String> {
        let file = format!("{ROOT}/var/log/recorded");
        let said = self.host.try_run(["cat", &file]).stdout;
        self.host.run(["rm", "-f", &file]);
        said.lines().map(str::to_owned).collect()
    }
}

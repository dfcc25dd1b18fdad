//! A host whose v6podd is started by the stand-in for systemd 219.

use std::fs;

use serde_json::Value;
use v6pod_integration::{Background, Command, Host, LATER, Namespaces, User, eventually, test_client};

pub const PREFIX: &str = "prefix = \"2001:db8:1::/80\"\n";
pub const SOCKET: &str = "/run/v6pod/v6pod.sock";
const FOLDER: &str = "/run/219";
const STAND_IN: &str = include_str!("systemd_219.py");

/// How the stand-in shall be.
#[derive(Clone, Copy)]
pub struct Unit {
    /// `WatchdogSec=`; 0: none.
    pub watchdog: &'static str,
    /// `FileDescriptorStoreMax=`.
    pub store: &'static str,
    /// `ListenStream=`, several with spaces between.
    pub sockets: &'static str,
    /// The program.
    pub program: &'static str,
    /// A variable of the daemon's environment.
    pub fault: &'static str,
    /// Whether it and the daemon see no processes but their own in /proc.
    pub alone: bool,
    pub configuration: &'static str,
    pub users: &'static [&'static str],
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            watchdog: "0",
            store: "64",
            sockets: SOCKET,
            program: "/usr/sbin/v6podd",
            fault: "",
            alone: false,
            configuration: PREFIX,
            users: &["alice"],
        }
    }
}

/// The host, and the stand-in in it. Nothing is started yet.
pub struct Site {
    pub systemd: Background,
    pub alice: User,
    pub host: Host,
}

impl Site {
    #[track_caller]
    pub fn new(unit: Unit) -> Self {
        let host = Host::new("one", unit.users);
        host.write("/etc/v6pod/v6podd.toml", unit.configuration);
        let alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let fault = format!("V6POD_FAULT={}", unit.fault);
        let line = ["python3", "-c", STAND_IN, FOLDER];
        let mut line: Vec<_> =
            if unit.alone { alone.to_vec() } else { Vec::new() }.into_iter().chain(line).collect();
        line.extend(unit.sockets.split(' '));
        line.extend(["--", "/usr/bin/env", &fault, unit.program]);
        let systemd = host.command(line).env("WATCHDOG", unit.watchdog).env("STORE", unit.store).spawn();
        let site = Self { systemd, alice: host.user("alice"), host };
        site.until("the stand-in runs", |state| state["state"] == "dead");
        site
    }

    /// With the daemon running.
    #[track_caller]
    pub fn started(unit: Unit) -> Self {
        let site = Self::new(unit);
        site.order("start");
        site.running();
        site
    }

    /// What the stand-in knows.
    pub fn state(&self) -> Value {
        let text = fs::read(self.host.path(format!("{FOLDER}/state"))).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Tells the stand-in what to do.
    #[track_caller]
    pub fn order(&self, order: &str) {
        fs::write(self.host.path(format!("{FOLDER}/control")), format!("{order}\n"))
            .expect("the stand-in runs");
    }

    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        eventually(LATER, || {
            let state = self.state();
            if so(&state) { Ok(state) } else { Err(format!("{what}? {state}\n{}", self.systemd)) }
        })
    }

    #[track_caller]
    pub fn running(&self) -> Value {
        self.until("it is ready", |state| state["state"] == "running")
    }

    /// Does it, and waits until the daemon has been started anew and is ready.
    #[track_caller]
    pub fn replaced(&self, order: &str) {
        let before = self.state()["starts"].as_u64();
        self.order(order);
        self.until("it is replaced", |state| {
            state["starts"].as_u64() > before && state["state"] == "running"
        });
    }

    /// Root's `v6pod`.
    pub fn v6pod(&self, arguments: &[&str]) -> Command {
        self.host.command(["v6pod"].iter().chain(arguments))
    }

    /// The names of what is attached.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let list = self.v6pod(&["list", "--json"]).run().json();
        let list = list["attachments"].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    pub fn eventually_named(&self, names: &[&str]) {
        eventually(LATER, || {
            let found = self.names();
            if found == names { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// Attaches many namespaces, 16 at a time, each with a lease that the client holds until it is killed.
    pub fn attach_many(&self, namespaces: &Namespaces) -> Background {
        test_client(&self.alice, &["attach", "16", "hold"], &namespaces.lines()).spawn()
    }

    /// What the daemon says when it is started like this and cannot be.
    #[track_caller]
    pub fn refused(&self) -> String {
        self.order("start");
        let started = |state: &Value| state["starts"].as_u64() >= Some(2);
        self.until("it has ended and is tried again", started);
        self.systemd.log()
    }
}

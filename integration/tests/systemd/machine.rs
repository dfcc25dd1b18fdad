//! A machine with Debian 12's systemd as init, and v6podd installed in it as its packages do.

use std::time::Duration;

use v6pod_integration::{Background, Command, Host, LATER, Output, eventually};

use crate::old_site::PREFIX;

/// What a boot may take there.
const BOOT: Duration = Duration::from_secs(60);
const FILES: [(&str, &str); 3] = [
    ("/run/packaging/v6podd.service", include_str!("../../../packaging/v6podd.service")),
    ("/run/packaging/v6podd.socket", include_str!("../../../packaging/v6podd.socket")),
    ("/run/packaging/v6pod.conf", include_str!("../../../packaging/tmpfiles.d/v6pod.conf")),
];
/// nspawn has other children before.
const INIT: &str = "for pid in $(pgrep -P \"$(pgrep -x systemd-nspawn)\"); do
    grep -qx systemd /proc/$pid/comm && grep -qP '^NSpid:.*\\t1$' /proc/$pid/status && echo $pid; done";
/// Where hosts see integration/prepare's root file system.
const ROOT: &str = "/usr/local/lib/v6pod-test/engines/12/root";

/// The machine. It is gone, with all that ran in it, when this is dropped.
pub struct Machine {
    nspawn: Background,
    /// Its PID 1, as the test host numbers it.
    init: String,
    uid: u32,
    pub host: Host,
}

impl Machine {
    /// Boots one, with this drop-in of the service and a line more in v6podd.toml, until v6podd serves.
    #[track_caller]
    pub fn boot(drop_in: &str, more: &str) -> Self {
        let host = Host::new("machine", &["alice"]);
        for (path, text) in FILES {
            host.write(path, text);
        }
        host.write("/run/packaging/drop-in.conf", drop_in);
        host.write("/etc/v6pod/v6podd.toml", format!("{PREFIX}{more}"));
        let nspawn = host.spawn(["bash", "-c", include_str!("machine.sh"), "machine.sh", ROOT]);
        let init = eventually(BOOT, || {
            let found = host.try_run(["bash", "-c", INIT]);
            found.text().lines().next().map(str::to_owned).ok_or_else(|| nspawn.to_string())
        });
        let machine = Self { nspawn, init, uid: host.user("alice").uid(), host };
        eventually(BOOT, || {
            let state = machine.command(&["systemctl", "is-active", "v6podd", "multi-user.target"]).try_run();
            if state.success() { Ok(()) } else { Err(format!("{state}{}", machine.log())) }
        });
        machine
    }

    /// A command of root's in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let enter =
            ["nsenter", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--target", &self.init];
        self.host.command(enter.iter().chain(&["--"]).chain(arguments))
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).run()
    }

    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["bash", "-euc", script])
    }

    /// A command of the host's in the machine's network alone: for what is to be signalled.
    pub fn in_network(&self, arguments: &[&str]) -> Command {
        let enter = ["nsenter", "--net", "--target", &self.init, "--"];
        self.host.command(enter.iter().chain(arguments))
    }

    /// A script of alice's, in a session that pam_systemd has made for it, as a login does.
    pub fn alice(&self, script: &str) -> Command {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{}", self.uid);
        let login = [
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "--collect",
            "--uid=alice",
            "--property=PAMName=login",
        ];
        let line = ["--working-directory=/home/alice", "--setenv", &runtime, "bash", "-euc", script];
        self.command(&login.iter().chain(&line).copied().collect::<Vec<_>>())
    }

    /// What systemd knows of the service.
    #[track_caller]
    pub fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, "v6podd.service"]).text().to_owned()
    }

    /// Does it, and waits until the daemon has another process and is ready.
    #[track_caller]
    pub fn replaced(&self, command: &[&str]) {
        let before = self.property("MainPID");
        self.run(command);
        eventually(LATER, || {
            let now = (self.property("MainPID"), self.property("ActiveState"));
            if now.0 != before && now.0 != "0" && now.1 == "active" { Ok(()) } else { Err(self.log()) }
        });
    }

    /// What is attached: names and addresses.
    #[track_caller]
    pub fn list(&self) -> Vec<(String, String)> {
        let list = self.run(&["v6pod", "list", "--json"]).json();
        let list = list["attachments"].as_array().cloned().unwrap_or_default();
        let text = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        list.iter().map(|one| (text(one, "name"), text(one, "address"))).collect()
    }

    #[track_caller]
    pub fn eventually_named(&self, names: &[&str]) {
        eventually(LATER, || {
            let found: Vec<_> = self.list().into_iter().map(|(name, _)| name).collect();
            if found == names { Ok(()) } else { Err(format!("{found:?}\n{}", self.log())) }
        });
    }

    /// The journal's lines of v6podd and of systemd about it.
    pub fn log(&self) -> String {
        self.command(&["journalctl", "--no-pager", "--unit=v6podd", "--unit=v6podd.socket"])
            .try_run()
            .to_string()
    }
}

/// The kernel keeps a cgroup for ever, but not before the last of its processes is gone.
const CLEAN_UP: &str = "for i in $(seq 100); do
    find \"$(cat /run/test-group)\" -depth -type d -delete 2>/dev/null && exit; sleep 0.1; done";

impl Drop for Machine {
    fn drop(&mut self) {
        self.nspawn.kill9();
        let _ = self.host.try_run(["bash", "-c", CLEAN_UP]);
    }
}

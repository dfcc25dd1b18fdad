//! A host with every way in, and a user who calls them by hand.

use std::ffi::{OsStr, OsString};

use serde_json::{Value, json};
use v6pod_integration::{Command, Daemon, Host, LATER, Namespaces, Output, User, eventually};

const SHIM: &str = "/usr/libexec/v6pod/slirp4netns";
/// Stands for the real slirp4netns.
const REAL: &str = "/usr/local/bin/real";
/// How that ends.
const REALS_STATUS: i32 = 7;
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontEnd {
    Cni,
    Netavark,
    Hook,
    Wrapper,
    PatchedPodman,
    Attach,
}

impl FrontEnd {
    pub const ALL: [Self; 6] =
        [Self::Cni, Self::Netavark, Self::Hook, Self::Wrapper, Self::PatchedPodman, Self::Attach];
    /// Those that read standard input.
    pub const READERS: [Self; 3] = [Self::Cni, Self::Netavark, Self::Hook];

    /// A call that succeeds, for the namespace of a process: its words and its input.
    fn call(self, path: &str, pid: u32) -> (Vec<String>, Value) {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect();
        match self {
            Self::Cni => {
                let variables =
                    format!("CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS={path}");
                let config = json!({ "cniVersion": "1.0.0", "name": "net", "type": "v6pod" });
                (words(&format!("/usr/bin/env {variables} /usr/libexec/v6pod/v6pod-cni")), config)
            }
            Self::Netavark => {
                let network = json!({ "name": "net", "id": "2f25", "driver": "v6pod", "options": {} });
                let container = json!({
                    "container_id": "c1", "container_name": "web", "port_mappings": [], "network": network,
                    "network_options": { "interface_name": "eth0" },
                });
                (words(&format!("/usr/libexec/v6pod/v6pod-netavark setup {path}")), container)
            }
            Self::Hook => {
                let state = json!({ "ociVersion": "1.0.2", "id": "c1", "pid": pid, "status": "created", "bundle": "/tmp" });
                (words("/usr/libexec/v6pod/v6pod-hook createRuntime --required"), state)
            }
            Self::Wrapper => (words(&format!("{SHIM} -c --netns-type=path {path} tap0")), Value::Null),
            Self::PatchedPodman => {
                let variables = format!("v6pod_id={ID} v6pod_user=0");
                (
                    words(&format!("/usr/bin/env {variables} {SHIM} -c --netns-type=path {path} tap0")),
                    Value::Null,
                )
            }
            Self::Attach => (words(&format!("/usr/bin/v6pod attach {path}")), Value::Null),
        }
    }

    /// Whether what was called has complained; it has to do so in its own way.
    #[track_caller]
    pub fn complains(self, output: &Output, streams: Streams) -> bool {
        let code = output.status.code();
        assert!(!output.stderr.contains("panicked"), "{self:?}\n{output}");
        // People may be shown what they have typed as they have; the others' callers did not type anything.
        let is_plain = output.stderr.chars().all(|character| character == '\n' || !character.is_control());
        assert!(self == Self::Attach || (is_plain && output.stderr.len() < 4096), "{self:?}\n{output}");
        let is_line = output.stderr.starts_with("v6pod: ") && output.stderr.lines().count() == 1;
        let is_told = is_line || !streams.stderr;
        match self {
            Self::Cni | Self::Netavark => {
                assert!(matches!(code, Some(0 | 1)), "{self:?}\n{output}");
                if code == Some(1) && streams.stdout {
                    self.is_error(output);
                }
                code == Some(1)
            }
            Self::Hook => {
                assert!(matches!(code, Some(0 | 1)) && output.stdout.is_empty(), "{self:?}\n{output}");
                assert!(code == Some(0) || is_told, "{self:?}\n{output}");
                code == Some(1)
            }
            Self::Wrapper | Self::PatchedPodman => {
                // 127: not even the real one can be executed. 1: an address was required.
                assert!(matches!(code, Some(REALS_STATUS | 127 | 1)), "{self:?}\n{output}");
                assert!(output.stderr.is_empty() || is_line, "{self:?}\n{output}");
                assert!(code == Some(REALS_STATUS) || is_told, "{self:?}\n{output}");
                let is_real = output.stdout.starts_with("real ");
                assert_eq!(is_real, code == Some(REALS_STATUS) && streams.stdout, "{self:?}\n{output}");
                code != Some(REALS_STATUS) || is_line
            }
            Self::Attach => {
                assert!(matches!(code, Some(0..=4)), "{self:?}\n{output}");
                let is_usage = code == Some(2) && output.stderr.starts_with("error: ");
                assert!(code == Some(0) || is_told || is_usage, "{self:?}\n{output}");
                assert!(code == Some(0) || output.stdout.is_empty(), "{self:?}\n{output}");
                code != Some(0)
            }
        }
    }

    /// The error of a plugin, as those who call plugins want it.
    #[track_caller]
    fn is_error(self, output: &Output) {
        let error = output.json();
        let keys: Vec<&String> = error.as_object().expect("an object").keys().collect();
        let (expected, text) = match self {
            Self::Cni => (&["cniVersion", "code", "details", "msg"][..], "msg"),
            _ => (&["error"][..], "error"),
        };
        assert_eq!(keys, expected, "{output}");
        let text = error[text].as_str().unwrap_or_default();
        assert!(!text.is_empty() && text.len() < 4096 && !text.contains(char::is_control), "{output}");
    }
}

/// Which streams can be looked at.
#[derive(Clone, Copy)]
pub struct Streams {
    pub stdout: bool,
    pub stderr: bool,
}

impl Streams {
    pub const BOTH: Self = Self { stdout: true, stderr: true };
}

pub struct Site {
    pub daemon: Daemon,
    pub alice: User,
    namespaces: Namespaces,
    host: Host,
}

impl Site {
    pub fn new() -> Self {
        let host = Host::new("one", &["alice"]);
        for name in ["v6pod-cni", "v6pod-netavark", "v6pod-hook"] {
            host.run(["ln", "-s", SHIM, &format!("/usr/libexec/v6pod/{name}")]);
        }
        host.write(REAL, format!("#!/bin/sh\n{{ echo real \"$@\"; }} 2>/dev/null\nexit {REALS_STATUS}\n"));
        host.run(["chmod", "755", REAL]);
        let daemon = host.daemon("prefix = \"2001:db8:1::/80\"\n");
        let alice = host.user("alice");
        let namespaces = Namespaces::new(&alice, 1);
        Self { daemon, alice, namespaces, host }
    }

    /// The path of alice's own namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    pub fn pid(&self) -> u32 {
        self.namespaces.pids()[0]
    }

    /// A good call of alice's, with these words added.
    pub fn call(&self, front_end: FrontEnd, more: &[OsString]) -> Command {
        let (words, input) = front_end.call(&self.path(), self.pid());
        let words = words.into_iter().map(OsString::from).chain(more.iter().cloned());
        self.alice.command(words).env("V6POD_SLIRP4NETNS", REAL).input(input.to_string()).limit(LATER)
    }

    /// One with a variable set, which nothing sees but what is called.
    pub fn call_with(&self, front_end: FrontEnd, name: &str, value: &OsStr) -> Command {
        let (words, input) = front_end.call(&self.path(), self.pid());
        let set =
            |name: &str, value: &OsStr| [OsStr::new(name), OsStr::new("="), value].into_iter().collect();
        let set: [OsString; 2] = [set("V6POD_SLIRP4NETNS", REAL.as_ref()), set(name, value)];
        let words =
            std::iter::once("/usr/bin/env".into()).chain(set).chain(words.into_iter().map(OsString::from));
        self.alice.command(words).input(input.to_string()).limit(LATER)
    }

    /// One for this path in place of her own, through a shell that redirects.
    pub fn call_for(&self, front_end: FrontEnd, path: &str, redirect: &str) -> Command {
        let (words, input) = front_end.call(path, self.pid());
        let shell = ["/bin/bash", "-c", &format!("exec \"$@\" {redirect}"), "-"].map(str::to_owned);
        let command = self.alice.command(shell.into_iter().chain(words));
        command.env("V6POD_SLIRP4NETNS", REAL).input(input.to_string()).limit(LATER)
    }

    /// Takes away what a call has attached, and sees that the daemon is well.
    #[track_caller]
    pub fn clean(&self) {
        for attachment in self.attachments() {
            // It may end of itself.
            self.host.try_run(["v6pod", "detach", attachment["id"].as_str().expect("an id")]);
        }
        eventually(LATER, || {
            let left = self.attachments();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }

    pub fn attachments(&self) -> Vec<Value> {
        let list = self.host.run(["v6pod", "list", "--json"]).json();
        list["attachments"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
        }
    }
}

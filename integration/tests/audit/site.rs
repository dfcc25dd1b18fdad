//! A host with a daemon, two users, and what the audit says of them.

use std::{fs, path::PathBuf, time::SystemTime};

use v6pod_integration::{Attached, Command, Daemon, Host, LATER, Namespaces, User, eventually};

use crate::found::Found;

pub const CONFIGURATION: &str = "prefix = \"2001:db8:1::/80\"\n[dns]\nenabled = false\n\
     [[rule]]\nattachments = \"unlimited\"\nrate = \"unlimited\"\n";
/// Where the files are.
pub const FOLDER: &str = "/var/lib/v6pod/audit";

/// A host with two users, and its daemon.
pub struct Site {
    pub daemon: Daemon,
    pub alice: User,
    pub bob: User,
    pub host: Host,
}

impl Site {
    #[track_caller]
    pub fn new(more: &str) -> Self {
        Self::prepared(more, "true")
    }

    /// A script is run before the daemon is started.
    #[track_caller]
    pub fn prepared(more: &str, script: &str) -> Self {
        let host = Host::new("one", &["alice", "bob"]);
        host.sh(script);
        let daemon = host.daemon(&format!("{CONFIGURATION}{more}"));
        Self { daemon, alice: host.user("alice"), bob: host.user("bob"), host }
    }

    /// Attaches a new namespace of a user's under a name, without a lease.
    #[track_caller]
    pub fn attach(&self, user: &User, name: &str) -> (Namespaces, Attached) {
        let namespace = Namespaces::new(user, 1);
        let output = user.try_attach(&namespace, name).expect_success();
        let attached = v6pod_integration::attached(&output.stdout).remove(0);
        (namespace, attached)
    }

    /// What root finds.
    #[track_caller]
    pub fn history(&self, words: &[&str]) -> Vec<Found> {
        Found::read(self.asking(words))
    }

    /// What a user finds.
    #[track_caller]
    pub fn history_of(&self, user: &User, words: &[&str]) -> Vec<Found> {
        Found::read(user.command(["v6pod", "history", "--json"].iter().chain(words)))
    }

    /// Root's question, to be run.
    pub fn asking(&self, words: &[&str]) -> Command {
        self.host.command(["v6pod", "history", "--json"].iter().chain(words))
    }

    /// The one life that root finds of this, once it has ended.
    #[track_caller]
    pub fn ended(&self, what: &str) -> Found {
        eventually(LATER, || match &self.history(&[what])[..] {
            [one] if one.end.is_some() => Ok(one.clone()),
            other => Err(format!("{other:#?}")),
        })
    }

    /// The names and sizes of the files, by name.
    pub fn files(&self) -> Vec<(String, u64)> {
        let folder = fs::read_dir(self.host.path(FOLDER)).into_iter().flatten().filter_map(Result::ok);
        let mut files: Vec<_> = folder
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len())))
            .collect();
        files.sort();
        files
    }

    /// A file of the audit, as this process can open it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.host.path(format!("{FOLDER}/{name}"))
    }

    /// What `v6pod status` says of the audit.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        let status = self.host.try_run(["v6pod", "status", "--json"]);
        assert!(matches!(status.status.code(), Some(0 | 1)), "{status}");
        status.json()["audit"].clone()
    }

    /// How many attachments there are.
    #[track_caller]
    pub fn count(&self) -> usize {
        self.host.run(["v6pod", "list", "--json"]).json()["attachments"].as_array().map_or(0, Vec::len)
    }
}

/// A time as the command line takes it, `seconds` later (or, negative, earlier) than this one.
pub fn written(time: SystemTime, seconds: i64) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let whole = i64::try_from(since.as_secs()).expect("a date") + seconds;
    let output = std::process::Command::new("date")
        .args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date", &format!("@{whole}")])
        .output()
        .expect("date(1) runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

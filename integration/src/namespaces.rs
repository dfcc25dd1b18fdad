//! Network namespaces of a user that cost next to nothing, and the test client that attaches them.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use crate::{Background, Command, Output, User, eventually};

/// The program of `src/bin/v6pod-test-client.rs` in a host.
pub(crate) const CLIENT: &str = "/usr/libexec/v6pod/v6pod-test-client";

/// How long a bunch of namespaces may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

/// Each is held by a `sleep` of the user's, in a user namespace of its own.
pub struct Namespaces {
    user: User,
    holders: Background,
    pids: Vec<u32>,
}

impl Namespaces {
    /// Makes so many.
    #[track_caller]
    pub fn new(user: &User, count: usize) -> Self {
        // The process id is told once the namespaces are there.
        let one = "unshare --user --map-root-user --net sh -c 'echo $$; exec sleep infinity' &";
        let holders =
            user.spawn(["bash", "-c", &format!("for ((i = 0; i < {count}; i++)); do {one} done; wait")]);
        let pids = eventually(LIMIT, || {
            let pids: Vec<u32> = holders.log().lines().filter_map(|line| line.parse().ok()).collect();
            if pids.len() == count { Ok(pids) } else { Err(format!("{} of {count}\n{holders}", pids.len())) }
        });
        Self { user: user.clone(), holders, pids }
    }

    /// The processes that hold them, as the host numbers them.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// A command of the host's root in the first of them.
    pub fn inside(&self, arguments: &[&str]) -> Command {
        let namespace = format!("--net=/proc/{}/ns/net", self.pids[0]);
        self.user.host().command(["nsenter", &namespace, "--"].iter().chain(arguments))
    }

    /// What the test client reads to attach them, without names.
    pub fn lines(&self) -> String {
        self.pids.iter().fold(String::new(), |mut text, pid| {
            writeln!(text, "{pid}").expect("a string takes everything");
            text
        })
    }

    /// Kills all the processes at once; the namespaces end.
    #[track_caller]
    pub fn kill(mut self) {
        self.user.command(["xargs", "kill", "-9"]).input(self.lines()).run();
        self.holders.wait(LIMIT);
    }
}

/// One attachment that the test client made.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The daemon's id.
    pub id: String,
    /// The address.
    pub address: String,
    /// How long it took, as the client saw it.
    pub took: Duration,
}

/// A run of the test client as this user: `attach 50`, `attach 1 hold`, `detach 50`, `cycle 1000 PID`.
pub fn test_client(user: &User, arguments: &[&str], lines: &str) -> Command {
    user.command([CLIENT].iter().chain(arguments)).input(lines).limit(Duration::from_secs(300))
}

/// What the client has said of its attachments so far; panics if it said that one failed.
#[track_caller]
pub fn attached(log: &str) -> Vec<Attached> {
    log.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            assert!(value["error"].is_null(), "the client failed: {line}");
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let took = Duration::from_micros(value["micros"].as_u64().unwrap_or_default());
            Attached { id: text("id"), address: text("address"), took }
        })
        .collect()
}

impl User {
    /// Attaches namespaces without a lease, so many at a time.
    #[track_caller]
    pub fn attach(&self, namespaces: &Namespaces, parallel: usize) -> Vec<Attached> {
        attached(&test_client(self, &["attach", &parallel.to_string()], &namespaces.lines()).run().stdout)
    }

    /// Attaches one namespace under a name, without a lease.
    #[track_caller]
    pub fn try_attach(&self, namespaces: &Namespaces, name: &str) -> Output {
        test_client(self, &["attach", "1"], &format!("{} {name}\n", namespaces.pids[0])).try_run()
    }

    /// Attaches one namespace under a name, with a lease that the client keeps until it is killed.
    #[track_caller]
    pub fn hold(&self, namespaces: &Namespaces, name: &str) -> (Background, Attached) {
        let mut client =
            test_client(self, &["attach", "1", "hold"], &format!("{} {name}\n", namespaces.pids[0])).spawn();
        let attached = eventually(LIMIT, || {
            assert!(client.is_running(), "the client ended\n{client}");
            attached(&client.log()).pop().ok_or("nothing yet")
        });
        (client, attached)
    }
}

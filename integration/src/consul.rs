//! A real Consul agent in a host, on its default ports.

use serde_json::Value;

use crate::{Background, Command, Host, LATER, Signal, eventually};

/// Where a Consul server keeps its data in the host.
const DATA: &str = "/tmp/consul";

/// The host's Consul agent: HTTP on 127.0.0.1:8500, DNS on 127.0.0.1:8600. It is killed when this is dropped.
pub struct Consul {
    host: Host,
    arguments: &'static [&'static str],
    running: Option<Background>,
}

impl Consul {
    /// An agent that remembers nothing when it is started again; it serves after 0.2 s.
    #[track_caller]
    pub fn in_memory(host: &Host) -> Self {
        Self::started(host, &["-dev"])
    }

    /// A server that finds its data again; it serves after 1.5 s.
    #[track_caller]
    pub fn on_disk(host: &Host) -> Self {
        Self::started(
            host,
            &[
                "-server",
                "-bootstrap-expect=1",
                "-bind=127.0.0.1",
                "-data-dir=/tmp/consul",
                "-hcl=performance { raft_multiplier = 1 }",
            ],
        )
    }

    #[track_caller]
    fn started(host: &Host, arguments: &'static [&'static str]) -> Self {
        let mut consul = Self { host: host.clone(), arguments, running: None };
        consul.start();
        consul
    }

    /// Starts it and waits until it has elected itself and answers questions about itself.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(!self.is_running(), "consul is already running");
        let arguments = ["consul", "agent", "-hcl=disable_update_check = true"];
        self.running = Some(self.host.spawn(arguments.iter().chain(self.arguments)));
        eventually(LATER, || match self.lookup("consul.service.consul", "A").as_slice() {
            [] => Err(format!("no answer yet\n{}", self.log())),
            _ => Ok(()),
        });
    }

    /// Ends it with SIGTERM.
    #[track_caller]
    pub fn stop(&mut self) {
        let running = self.running.as_mut().expect("consul was started");
        running.signal(Signal::TERM);
        running.wait(LATER);
    }

    /// Kills it with SIGKILL.
    pub fn kill9(&mut self) {
        self.running.as_mut().expect("consul was started").kill9();
    }

    /// Removes all it keeps, so that it starts empty. It must not be running.
    #[track_caller]
    pub fn wipe(&mut self) {
        assert!(!self.is_running(), "consul is still running");
        self.host.run(["rm", "-rf", DATA]);
    }

    /// What it has logged since it was last started.
    pub fn log(&self) -> String {
        self.running.as_ref().map(Background::log).unwrap_or_default()
    }

    /// The records of one type that its DNS has for a name, sorted.
    #[track_caller]
    pub fn lookup(&self, name: &str, kind: &str) -> Vec<String> {
        let question = ["dig", "@127.0.0.1", "-p", "8600", "+short", "+time=1", "+tries=1", name, kind];
        let output = self.host.try_run(question);
        let answers = output.stdout.lines().filter(|line| !line.starts_with(';'));
        let mut answers: Vec<_> = answers.map(str::to_owned).collect();
        answers.sort();
        answers
    }

    /// Reads from its HTTP API; `path` begins after `/v1/`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.request("GET", path).run().json()
    }

    /// Writes to its HTTP API; `path` begins after `/v1/`.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) {
        let body = body.to_string();
        self.request("PUT", path).input(body).run();
    }

    fn request(&self, method: &str, path: &str) -> Command {
        let url = format!("http://127.0.0.1:8500/v1/{path}");
        self.host.command(["curl", "-fsS", "-m", "5", "-X", method, "--data-binary", "@-", &url])
    }

    fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Background::is_running)
    }
}

//! Whoever calls, by grpcurl.

use std::fmt;

use serde_json::{Value, json};
use v6pod_integration::{Command, Daemon, Host, Output, User};

pub const SOCKET: &str = "/run/v6pod/v6pod.sock";
pub const PREFIX: &str = "2001:db8:1::/80";
pub const GATEWAY: &str = "2001:db8:1::1";

/// A host with its daemon.
pub struct Site {
    pub daemon: Daemon,
    pub host: Host,
}

impl Site {
    #[track_caller]
    pub fn new(users: &[&str]) -> Self {
        let host = Host::new("one", users);
        let daemon = host.daemon(&format!("prefix = \"{PREFIX}\"\n[dns]\nforward = []\n"));
        Self { daemon, host }
    }

    pub fn root(&self) -> Caller {
        Caller { host: self.host.clone(), user: None }
    }

    #[track_caller]
    pub fn user(&self, name: &str) -> Caller {
        Caller { host: self.host.clone(), user: Some(self.host.user(name)) }
    }
}

/// Root, or a user.
#[derive(Clone)]
pub struct Caller {
    host: Host,
    user: Option<User>,
}

/// What came back of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The messages.
    pub messages: Vec<Value>,
    /// The status: `OK`, `NotFound`…
    pub code: String,
    /// What the status says.
    pub sentence: String,
}

impl Answer {
    /// Reads what grpcurl wrote.
    #[track_caller]
    fn read(output: &Output) -> Self {
        let field = |name| {
            let line = output.stderr.lines().find_map(|line| line.trim().strip_prefix(name));
            line.map(|text| text.trim().to_owned())
        };
        let code = if output.success() { Some("OK".to_owned()) } else { field("Code:") };
        Self {
            messages: messages(&output.stdout),
            code: code.unwrap_or_else(|| panic!("grpcurl did not get as far as a status\n{output}")),
            sentence: field("Message:").unwrap_or_default(),
        }
    }

    /// The one message of an answer that went well.
    #[track_caller]
    pub fn message(&self) -> &Value {
        assert_eq!((self.code.as_str(), self.messages.len()), ("OK", 1), "{self}");
        &self.messages[0]
    }

    /// Asserts that it is this refusal and nothing else.
    #[track_caller]
    pub fn is_refusal(&self, code: &str, words: &str) {
        assert!(self.code == code && self.messages.is_empty() && self.sentence.contains(words), "{self}");
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.code, self.sentence)?;
        self.messages.iter().try_for_each(|message| write!(f, "\n{message:#}"))
    }
}

/// JSON values one after the other; of one that is not complete yet, nothing.
#[track_caller]
pub fn messages(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter();
    values
        .take_while(|value| !matches!(value, Err(error) if error.is_eof()))
        .map(|v| v.expect("JSON"))
        .collect()
}

impl Caller {
    /// A command of theirs.
    pub fn command(&self, words: &[&str]) -> Command {
        self.user.as_ref().map_or_else(|| self.host.command(words), |user| user.command(words))
    }

    pub fn uid(&self) -> u32 {
        self.user.as_ref().map_or(0, User::uid)
    }

    /// The user; root has no containers here.
    #[track_caller]
    pub fn podman(&self, words: &[&str]) -> Output {
        self.user.as_ref().expect("a user").podman(words)
    }

    /// Starts a container that sleeps; gives its id and its attachment.
    #[track_caller]
    pub fn start(&self, name: &str) -> Value {
        let id = self.podman(&["run", "-d", "--name", name, "busybox", "sleep", "1000"]);
        let answer = self.call("v6pod.v1.Attachments/Get", &json!({"containerId": id.text()}));
        answer.message()["attachment"].clone()
    }

    /// grpcurl with these options before the socket and these words after it.
    pub fn grpcurl(&self, options: &[&str], words: &[&str]) -> Command {
        self.command(&[&["grpcurl", "-plaintext", "-unix"], options, &[SOCKET], words].concat())
    }

    /// What `list` or `describe` say, in lines.
    #[track_caller]
    pub fn told(&self, words: &[&str]) -> Vec<String> {
        self.grpcurl(&[], words).run().stdout.lines().map(str::to_owned).collect()
    }

    /// Calls a method.
    #[track_caller]
    pub fn call(&self, method: &str, request: &Value) -> Answer {
        self.call_for(method, request, "10")
    }

    /// Calls a method for so many seconds at most.
    #[track_caller]
    pub fn call_for(&self, method: &str, request: &Value, seconds: &str) -> Answer {
        let request = request.to_string();
        let options = ["-emit-defaults", "-max-time", seconds, "-d", &request];
        Answer::read(&self.grpcurl(&options, &[method]).try_run())
    }

    /// Every method that reflection knows of, as `SERVICE/METHOD`.
    #[track_caller]
    pub fn methods(&self) -> Vec<String> {
        let services = self.told(&["list"]);
        let methods = services.iter().flat_map(|service| {
            self.told(&["list", service]).into_iter().map(move |method| {
                let name = method.strip_prefix(&format!("{service}.")).expect("a method of the service");
                format!("{service}/{name}")
            })
        });
        methods.collect()
    }
}

//! A host with the plugin among Debian's own, and two namespaces to be attached.

use serde_json::{Value, json};
use v6pod_integration::{Command, Daemon, Host, Output};

/// Where Debian's plugins are, and ours is one of them.
pub const PLUGINS: &str = "/usr/lib/cni";
pub const PLUGIN: &str = "/usr/lib/cni/v6pod";
pub const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const NETWORKS: &str = "[network.default]\nprefix = \"2001:db8:1::/80\"\nallow_static = true\ndefault = true\n\
     [network.blue]\nprefix = \"2001:db8:2::/80\"\nbridge = \"blue0\"\n";
pub struct Site {
    pub daemon: Daemon,
    pub host: Host,
}

/// One container as a runtime names it.
#[derive(Clone, Copy)]
pub struct Container<'a> {
    pub id: &'a str,
    pub namespace: &'a str,
    pub interface: &'a str,
}

pub const C1: Container<'_> = Container { id: "c1", namespace: "/run/netns/c1", interface: "eth0" };
pub const C2: Container<'_> = Container { id: "c2", namespace: "/run/netns/c2", interface: "eth0" };

impl Site {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With more networks.
    pub fn with(networks: &str) -> Self {
        let host = Host::builder("one").without_wrapper().user("alice").build();
        host.run(["ln", "-s", "/usr/libexec/v6pod/slirp4netns", PLUGIN]);
        host.sh("ip netns add c1; ip netns add c2");
        let daemon = host.daemon(&format!("{NETWORKS}{networks}"));
        Self { daemon, host }
    }

    /// The plugin as a runtime starts it, to be refined; what is set again counts.
    pub fn plugin(&self, command: &str, container: Container<'_>) -> Command {
        as_a_runtime(self.host.command([PLUGIN]), command, container)
    }

    /// Runs the plugin, whatever comes of it.
    pub fn call(&self, command: &str, container: Container<'_>, config: &Value) -> Output {
        self.plugin(command, container).input(config.to_string()).try_run()
    }

    /// Runs it and gives its result.
    #[track_caller]
    pub fn add(&self, container: Container<'_>, config: &Value) -> Value {
        self.call("ADD", container, config).expect_success().json()
    }

    /// Runs a command that has nothing to say.
    #[track_caller]
    pub fn quietly(&self, command: &str, container: Container<'_>, config: &Value) {
        let output = self.call(command, container, config).expect_success();
        assert_eq!(output.stdout, "", "{output}");
    }

    /// Runs it and gives its error: the code, and all that is said.
    #[track_caller]
    pub fn refused(&self, command: &str, container: Container<'_>, config: &Value) -> (u64, String) {
        let output = self.call(command, container, config);
        let version = config["cniVersion"].as_str().filter(|version| VERSIONS.contains(version));
        error(&output, version.unwrap_or("1.1.0"))
    }

    pub fn attachments(&self) -> Vec<Value> {
        let list = self.host.run(["v6pod", "list", "--json"]).json();
        list["attachments"].as_array().cloned().unwrap_or_default()
    }

    /// The containers that are attached.
    pub fn containers(&self) -> Vec<String> {
        let id = |attachment: &Value| attachment["container_id"].as_str().unwrap_or_default().to_owned();
        let mut ids: Vec<String> = self.attachments().iter().map(id).collect();
        ids.sort();
        ids
    }

    /// The host reaches an address, and does so at once: no packet is lost, not even the first.
    #[track_caller]
    pub fn reaches(&self, address: &str) {
        self.host.run(["ping", "-6", "-c1", "-W1", address]);
    }

    /// What `ip` says inside a namespace of this host.
    pub fn inside(&self, namespace: &str, question: &str) -> String {
        self.host.sh(&format!("ip -n {namespace} -6 {question}")).stdout
    }
}

/// A command of the plugin's with the variables of a runtime.
pub fn as_a_runtime(plugin: Command, command: &str, container: Container<'_>) -> Command {
    let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=x;K8S_POD_NAME=pod-{}", container.id);
    let plugin = plugin.env("CNI_COMMAND", command).env("CNI_PATH", PLUGINS).env("CNI_ARGS", arguments);
    let plugin = plugin.env("CNI_CONTAINERID", container.id).env("CNI_NETNS", container.namespace);
    plugin.env("CNI_IFNAME", container.interface)
}

/// The error that a call came to: the code, and all that is said. It is of this version and has the form of
/// the specification.
#[track_caller]
pub fn error(output: &Output, version: &str) -> (u64, String) {
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(!output.stderr.contains("panicked"), "{output}");
    let error = output.json();
    let keys: Vec<&String> =
        error.as_object().unwrap_or_else(|| panic!("no object\n{output}")).keys().collect();
    assert_eq!(keys, ["cniVersion", "code", "details", "msg"], "{output}");
    assert_eq!(error["cniVersion"], version, "{output}");
    let text = |key: &str| error[key].as_str().unwrap_or_else(|| panic!("no {key}\n{output}"));
    let told = format!("{}: {}", text("msg"), text("details"));
    assert!(!text("msg").is_empty() && told.len() < 4096 && !told.contains(char::is_control), "{output}");
    (error["code"].as_u64().unwrap_or_else(|| panic!("no code\n{output}")), told)
}

/// A configuration of this version, with more in it.
pub fn config(version: &str, more: Value) -> Value {
    let mut config = json!({ "cniVersion": version, "name": "net", "type": "v6pod" });
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    config
}

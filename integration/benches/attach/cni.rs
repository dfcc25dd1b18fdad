//! The CNI `bridge` plugin with `host-local`, executed as a container engine does it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::{CNI, namespace::Namespace};

const FOLDER: &str = "/usr/lib/cni";

/// `ADD` or `DEL` of one namespace.
pub fn call(command: &str, container: &str, namespace: &Namespace) {
    let configuration = format!(
        r#"{{"cniVersion": "0.4.0", "name": "bench", "type": "bridge", "bridge": "cni0", "isGateway": true,
        "mtu": 1500, "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{CNI}/80"}}]],
        "routes": [{{"dst": "::/0"}}]}}}}"#
    );
    let mut plugin = Command::new(format!("{FOLDER}/bridge"))
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", container)
        .env("CNI_NETNS", namespace.path())
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bridge plugin can be started");
    plugin.stdin.take().expect("it is piped").write_all(configuration.as_bytes()).expect("it reads");
    let output = plugin.wait_with_output().expect("it ends");
    assert!(output.status.success(), "CNI {command}: {}", String::from_utf8_lossy(&output.stdout));
}

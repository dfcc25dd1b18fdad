//! Rootless podman with its CNI backend (3.2 and later) starts plugins in a mount namespace in which it has
//! covered `/run`, and with it the socket. Processes that still see the host's `/run` are podman itself, an
//! ancestor, and the one that keeps its namespaces.

use serde_json::json;
use v6pod_integration::{Command, Output, User};

use crate::site::{C1, Container, PLUGIN, Site, as_a_runtime, config, error};

/// As podman does it, in its user namespace: makes the container's network namespace, writes down a process of
/// its own that sees everything, and executes the plugin where `/run` is covered. Without a fork it leaves no
/// ancestor that sees.
const COVER: &str = r#"
unshare --net sleep 1000 & container=$!
sleep 1000 & pause=$!
mkdir -p "$XDG_RUNTIME_DIR/libpod/tmp"
[ -n "$NO_PAUSE" ] || echo $pause >"$XDG_RUNTIME_DIR/libpod/tmp/pause.pid"
until [ "$(readlink /proc/$container/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
export CNI_NETNS=/proc/$container/ns/net
plugin='mount -t tmpfs none /run; [ ! -e /run/v6pod ]; exec "$0"'
if [ -n "$FORK" ]; then
  unshare --mount --net bash -euc "$plugin" "$0"
else
  exec unshare --mount --net bash -euc "$plugin" "$0"
fi
"#;

/// The plugin's answer to a user for whom `/run` is covered.
fn add(user: &User, refine: impl FnOnce(Command) -> Command) -> Output {
    let podman = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-euc", COVER, PLUGIN];
    let added = as_a_runtime(user.command(podman), "ADD", Container { namespace: "", ..C1 });
    // Not below /run, which is covered whole here; podman keeps this one folder.
    let home = format!("/home/{}/run", user.name());
    refine(added.env("XDG_RUNTIME_DIR", home)).input(config("1.0.0", json!({})).to_string()).try_run()
}

#[track_caller]
fn is_attached(site: &Site, user: &User, output: Output) {
    let result = output.expect_success().json();
    assert!(result["ips"][0]["address"].as_str().is_some_and(|address| address.starts_with("2001:db8:1::")));
    let [attachment] = &site.attachments()[..] else { panic!("not one attachment\n{}", site.daemon.log()) };
    assert_eq!((&attachment["container_id"], &attachment["uid"]), (&json!("c1"), &json!(user.uid())));
}

#[test]
fn the_socket_is_seen_with_podmans_eyes() {
    let site = Site::new();
    let alice = site.host.user("alice");
    is_attached(&site, &alice, add(&alice, |plugin| plugin.env("FORK", "1").env("NO_PAUSE", "1")));
}

#[test]
fn the_socket_is_seen_with_the_pause_process_eyes() {
    let site = Site::new();
    let alice = site.host.user("alice");
    is_attached(&site, &alice, add(&alice, |plugin| plugin.env("FORK", "").env("NO_PAUSE", "")));
}

/// That it is hidden indeed, and what is said then.
#[test]
fn nobody_sees_the_socket() {
    let site = Site::new();
    let alice = site.host.user("alice");
    let output = add(&alice, |plugin| plugin.env("FORK", "").env("NO_PAUSE", "1"));
    let (code, told) = error(&output, "1.0.0");
    assert!(code == 11 && told.contains("is v6podd running?"), "{told}");
    assert!(site.attachments().is_empty());
}

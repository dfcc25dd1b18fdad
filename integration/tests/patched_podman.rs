//! The patched podman of the original v6pod: it says the container's id and a user in the environment of what
//! it takes for slirp4netns. The id is a hint, the user is nobody's business.

use serde_json::Value;
use v6pod_integration::{Daemon, Host, LATER, Namespaces, Net, User, eventually};

const WRAPPER: &str = "/usr/libexec/v6pod/slirp4netns";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Site {
    host: Host,
    daemon: Daemon,
    alice: User,
    _net: Net,
}

impl Site {
    fn new() -> Self {
        let net = Net::new();
        let host = Host::new("one", &["alice"]);
        let link = net.join(&host);
        let daemon = host.daemon(&format!("prefix = \"{}\"\n", link.prefix));
        Self { alice: host.user("alice"), host, daemon, _net: net }
    }

    #[track_caller]
    fn attachment(&self) -> Value {
        eventually(LATER, || {
            let answer = self.host.run(["v6pod", "list", "--json"]).json();
            match answer["attachments"].as_array().map(Vec::as_slice) {
                Some([one]) => Ok(one.clone()),
                other => Err(format!("{other:?}\n{}", self.daemon.log())),
            }
        })
    }
}

#[test]
fn the_id_is_taken_and_the_user_is_not() {
    let site = Site::new();
    let namespaces = Namespaces::new(&site.alice, 1);
    let pid = namespaces.pids()[0].to_string();
    let _slirp =
        site.alice.command([WRAPPER, "-c", &pid, "tap0"]).env("v6pod_id", ID).env("v6pod_user", "0").spawn();
    let attachment = site.attachment();
    assert_eq!(attachment["container_id"], ID);
    assert_eq!(attachment["uid"], site.alice.uid());
}

#[test]
fn a_hint_that_is_no_id_is_nothing() {
    let site = Site::new();
    let namespaces = Namespaces::new(&site.alice, 1);
    let pid = namespaces.pids()[0].to_string();
    let _slirp = site.alice.command([WRAPPER, "-c", &pid, "tap0"]).env("v6pod_id", "../../etc").spawn();
    assert_eq!(site.attachment()["container_id"], "");
}

#[test]
fn what_podman_itself_leaves_counts_for_more() {
    let site = Site::new();
    let run = ["podman", "run", "-d", "--name", "web", "busybox", "sleep", "1000"];
    let id = site.alice.command(run).env("v6pod_id", ID).env("v6pod_user", "0").run();
    let attachment = site.attachment();
    assert_eq!((&attachment["container_id"], &attachment["name"]), (&id.text().into(), &"web".into()));
    assert_eq!(attachment["uid"], site.alice.uid());
}

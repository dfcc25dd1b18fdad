//! README.md's own commands, word for word, on a bare Debian 12 with nothing in it: a container is reached by its
//! name. systemd does not run there, so of the two ways to start the daemon it is the other one.

use std::fs;

use v6pod_integration::{Background, LATER, Signal, eventually};

use crate::{
    made::{checkout, folder, package},
    root::Root,
};

/// What stands above the block in README.md.
const MARK: &str = "<!-- tried by integration/tests/package/readme.rs -->";

/// Before what is typed where systemd does not run, in the line of what is typed elsewhere.
const WITHOUT_SYSTEMD: &str = "# without systemd: ";

/// The commands, with `#` or `$` before each.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(checkout().join("README.md")).expect("the README is there");
    let (_, after) = readme.split_once(MARK).expect("the README has the marked block");
    let block = after.split("```").nth(1).expect("a block follows the mark");
    let lines = block.lines().filter(|line| line.starts_with("# ") || line.starts_with("$ "));
    let here = |line: &str| match line.split_once(WITHOUT_SYSTEMD) {
        Some((_, other)) => format!("# {other}"),
        None => line.to_owned(),
    };
    lines.map(here).collect()
}

/// And when the package is removed, the machine is as it was, though the container still runs.
#[test]
fn a_container_is_reached_by_its_name() {
    let root = Root::new();
    root.receive(&package(&folder(), "v6pod_", ".deb"));
    // Where `make deb` leaves it in a checkout.
    root.sh("mkdir target && ln -s .. target/package");
    let mut daemon: Option<Background> = None;
    let mut said = Vec::new();
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for line in &commands {
        let (prompt, command) = line.split_at(2);
        match (prompt, command.strip_suffix(" &")) {
            ("# ", Some(command)) => {
                daemon = Some(root.command(&format!("exec {command}")).spawn());
                let socket = root.host.path("/run/v6pod/v6pod.sock");
                eventually(LATER, || {
                    let log = daemon.as_ref().map(Background::log);
                    std::os::unix::net::UnixStream::connect(&socket)
                        .map_err(|error| format!("{error}\n{log:?}"))
                });
            }
            ("# ", None) => said.push(root.command(command).run()),
            _ => said.push(root.alices(command).run()),
        }
    }
    // The name leads to what the list says it has, and there the container answers: to the host and from afar.
    let log = daemon.as_ref().expect("one of the commands starts the daemon").log();
    let [.., list, address] = &said[..] else { panic!("{said:?}") };
    let address = address.text();
    assert!(!address.is_empty() && list.stdout.contains(address), "{list}{address}\n{log}");
    let page = root.host.run(["curl", "-sfm2", &format!("http://[{address}]:8080/")]);
    assert_eq!(page.text(), "hello");
    is_removed(&root, daemon.expect("it was started"));
}

fn is_removed(root: &Root, mut daemon: Background) {
    let traces = || {
        let show = ["ip -o link", "ip -6 route", "nft list ruleset", "ls /run/v6pod", "ls /etc/containers/*"];
        let shown = show.map(|command| root.host.try_run(["sh", "-c", command]).stdout);
        shown.concat().lines().filter(|line| line.contains("v6p")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(traces().len() > 5, "{:?}", traces());
    daemon.signal(Signal::TERM);
    daemon.wait(LATER);
    root.command("apt-get remove -y v6pod").run();
    assert_eq!(traces(), [""; 0]);
    assert_eq!(root.command("ls /var/lib/v6pod 2>/dev/null || true").run().text(), "audit");
}

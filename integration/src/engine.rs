//! Another release's podman in a host: Debian's root file systems from `integration/prepare`.
//!
//! Its programs run in a mount namespace of their own, which a process in it keeps. Processes, network,
//! devices, `/run`, `/tmp` and `/home` are the host's there. So the daemon, the users and what they keep are
//! the same, and the host's own tools can look at the containers.

use std::{fs, path::PathBuf};

use crate::{Command, Host, command::Account, paths::cache};

/// Makes the namespace for a release, `11` or `13`, whose podman calls `network_command` as slirp4netns, and
/// returns its path.
#[track_caller]
pub(crate) fn set_up(host: &Host, release: &str, network_command: &str) -> PathBuf {
    let root = format!("engines/{release}/root");
    let made = cache().join(&root).exists();
    assert!(made, "{}: not there; run integration/prepare", cache().join(&root).display());
    let lower = format!("/usr/local/lib/v6pod-test/{root}");
    let arguments = ["bash", "-c", include_str!("engine.sh"), "engine.sh", release, &lower, network_command];
    host.path(format!("/proc/{}/ns/mnt", host.run(arguments).text()))
}

/// Gives a user the image: podman 3 does not read the storage that a newer one has made.
#[track_caller]
pub(crate) fn import(host: &Host, account: &Account) {
    let tar = cache().join("image/root.tar");
    let image = fs::read(&tar).unwrap_or_else(|error| panic!("{}: {error}", tar.display()));
    let arguments =
        ["podman", "import", "-c", "ENV PATH=/bin:/sbin", "-", "docker.io/library/busybox:latest"];
    Command::new(host, Some(account.clone()), arguments).in_engine().input(image).run();
}

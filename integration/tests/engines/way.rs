//! The ways in which a podman's containers get their address, and what each needs before the first one.

use std::fs;

use v6pod_integration::{User, cache};

use crate::site::Site;

/// One podman, and what gives its containers their address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Debian's release.
    pub release: &'static str,
    pub kind: Kind,
    /// Whether it is root's podman, not a user's.
    pub is_rootful: bool,
}

/// What podman starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stand-in for slirp4netns.
    Wrapper,
    /// The OCI hook; slirp4netns or pasta is as Debian has it.
    Hook,
    /// The plugin for netavark.
    Netavark,
    /// The plugin for CNI.
    Cni,
}

impl Way {
    pub const WRAPPER_13: Self = Self::users(Kind::Wrapper, "13");
    pub const NETAVARK_13: Self = Self::users(Kind::Netavark, "13");

    pub const fn users(kind: Kind, release: &'static str) -> Self {
        Self { release, kind, is_rootful: false }
    }

    pub const fn roots(kind: Kind, release: &'static str) -> Self {
        Self { release, kind, is_rootful: true }
    }

    /// The options of `podman run`.
    pub fn options(self) -> &'static [&'static str] {
        match self.kind {
            Kind::Wrapper => &[],
            Kind::Hook => &["--annotation=v6pod.network="],
            Kind::Netavark | Kind::Cni => &["--network=v6net"],
        }
    }

    /// The options of `podman pod create`. Pods have no annotations.
    pub fn pod_options(self) -> Vec<&'static str> {
        let mut options = if self.kind == Kind::Hook { Vec::new() } else { self.options().to_vec() };
        if self.is_rootful && self.release == "12" {
            // Where systemd does not make the cgroups, podman 4.3 denies root's pods all devices.
            options.push("--share-parent=false");
        }
        options
    }

    /// The options of `podman run` for a pod's first container, which can ask for all of them.
    pub fn member_options(self) -> &'static [&'static str] {
        if self.kind == Kind::Hook { self.options() } else { &[] }
    }

    /// What keeps this podman from having this way.
    pub fn absence(self) -> Option<Absence> {
        let network = &["network", "create", "-d", "v6pod", "v6net"][..];
        let run = &["run", "--rm", "--network=v6net", "busybox", "true"][..];
        let (why, attempt, refusal) = match (self.kind, self.release, self.is_rootful) {
            (Kind::Netavark, "11", _) => ("from podman 4.5 on", network, "driver 'v6pod' is not supported"),
            (Kind::Netavark, "12", _) => ("from podman 4.5 on", network, "unsupported driver v6pod"),
            // It would have to be in the image that podman before 3.2 runs users' plugins in.
            (Kind::Cni, "11", false) => ("from podman 3.2 on", run, "libpod/rootless-cni-infra"),
            (Kind::Cni, "13", _) => ("up to podman 4", run, "cni support is not enabled"),
            _ => return None,
        };
        Some(Absence { why, attempt, refusal })
    }

    /// What it is called in the documentation.
    pub fn name(self) -> &'static str {
        match (self.kind, self.is_rootful) {
            (Kind::Wrapper, _) => "stand-in",
            (Kind::Hook, _) if self.release == "13" => "hook, beside pasta",
            (Kind::Hook, _) => "hook, beside slirp4netns",
            (Kind::Netavark, false) => "netavark plugin",
            (Kind::Netavark, true) => "netavark plugin, rootful",
            (Kind::Cni, false) => "CNI plugin",
            (Kind::Cni, true) => "CNI plugin, rootful",
        }
    }
}

/// A way that a podman does not have.
pub struct Absence {
    /// To be told to users.
    pub why: &'static str,
    /// Who tries to use it nevertheless
    pub attempt: &'static [&'static str],
    /// is told this by podman.
    pub refusal: &'static str,
}

/// The packaged hook file, in the folder for packages.
const HOOK: &str = include_str!("../../../packaging/hooks.d/v6pod.json");
const HOOK_FILE: &str = "/usr/share/containers/oci/hooks.d/v6pod.json";

/// What users read of CNI: the files are tried as they stand there.
const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ways-in.md");

/// Makes a fresh site ready for its way, for each of these users.
pub fn prepare(site: &Site, users: &[User]) {
    if site.way.is_rootful {
        prepare_root(site);
    }
    match site.way.kind {
        Kind::Wrapper => {}
        Kind::Hook => {
            link(site, "/usr/libexec/v6pod/v6pod-hook");
            write(site, HOOK_FILE, HOOK);
        }
        Kind::Netavark => {
            link(site, "/usr/libexec/netavark/v6pod");
            for user in users.iter().filter(|_| site.way.absence().is_none()) {
                user.podman(["network", "create", "-d", "v6pod", "v6net"]);
            }
        }
        Kind::Cni => prepare_cni(site, users),
    }
}

/// Gives root a storage with the image. The hosts of the tests have no controllers in their cgroups, and
/// their `/var` cannot hold layers.
fn prepare_root(site: &Site) {
    if site.way.release == "12" {
        let storage = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\n\
             graphroot = \"/run/containers/graph\"\n";
        write(site, "/etc/containers/storage.conf", storage);
    }
    sh(
        site,
        "sed -i -e 's/^\\[containers\\]$/&\\npids_limit = 0/' -e 's/^runtime = .*/runtime = \"runc\"/' \
        /etc/containers/containers.conf",
    );
    let image = fs::read(cache().join("image/root.tar")).expect("the image");
    let import = ["import", "-c", "ENV PATH=/bin:/sbin", "-", "docker.io/library/busybox:latest"];
    site.host.root().podman_command(import).input(image).run();
}

fn prepare_cni(site: &Site, users: &[User]) {
    let typed = block_of_the_manual("## CNI").replace("# ", "");
    sh(site, &format!("mkdir -p /usr/lib/cni; {typed}"));
    if site.way.release != "11" {
        let setting = block_of_the_manual("`containers.conf` has to say");
        write(site, "/etc/containers/containers.conf.d/cni.conf", &setting);
    }
    let conflist = block_of_the_manual("`/etc/cni/net.d/50-v6net.conflist`");
    if site.way.is_rootful {
        write(site, "/etc/cni/net.d/50-v6net.conflist", &conflist);
    }
    for user in users.iter().filter(|user| user.uid() != 0) {
        let script = "mkdir -p .config/cni/net.d; cat >.config/cni/net.d/50-v6net.conflist";
        user.command(["bash", "-euc", script]).input(&conflist[..]).run();
    }
}

/// The first block of code after these words.
fn block_of_the_manual(words: &str) -> String {
    let manual = fs::read_to_string(MANUAL).unwrap_or_else(|error| panic!("{MANUAL}: {error}"));
    let block = manual.split_once(words).and_then(|(_, after)| after.split("```").nth(1)?.split_once('\n'));
    block.unwrap_or_else(|| panic!("{MANUAL}: no block of code after {words}")).1.to_owned()
}

/// Puts the shim where podman looks for it.
fn link(site: &Site, path: &str) {
    sh(site, &format!("mkdir -p $(dirname {path}); ln -sf /usr/libexec/v6pod/slirp4netns {path}"));
}

/// Writes a file of podman's.
fn write(site: &Site, path: &str, text: &str) {
    let script = format!("mkdir -p $(dirname {path}); cat >{path}");
    site.host.command(["bash", "-euc", &script]).in_engine().input(text).run();
}

/// Runs a script where podman is.
fn sh(site: &Site, script: &str) {
    site.host.command(["bash", "-euc", script]).in_engine().run();
}

//! Processes that hold namespaces, to take descriptors from.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::Pid,
};
use v6pod_integration::{Background, Host, LATER, User, eventually};

/// A `sleep` of somebody's in namespaces of its own.
pub struct Holder {
    process: Background,
    pid: Pid,
}

impl Holder {
    /// Waits until a command has become `sleep`: then its namespaces are there.
    #[track_caller]
    pub fn new(mut process: Background) -> Self {
        let pid = process.pid();
        eventually(LATER, || {
            assert!(process.is_running(), "it ended\n{process}");
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).map_err(|error| error.to_string())?;
            if name == "sleep\n" { Ok(()) } else { Err(format!("{name}\n{process}")) }
        });
        Self { process, pid }
    }

    /// In a user and a network namespace of the user's own.
    pub fn own(user: &User) -> Self {
        Self::new(user.spawn(words("unshare --user --map-root-user --net sleep infinity")))
    }

    /// The same, after this shell script has run inside.
    pub fn own_after(user: &User, script: &str) -> Self {
        let script = format!("{script}; exec sleep infinity");
        let mut command = words("unshare --user --map-root-user --net --mount sh -euc");
        command.push(&script);
        Self::new(user.spawn(command))
    }

    /// In a network namespace of a user namespace within a user namespace of the user's own.
    pub fn nested(user: &User) -> Self {
        let line = "unshare --user --map-root-user unshare --user --map-root-user --net sleep infinity";
        Self::new(user.spawn(words(line)))
    }

    /// The same, where the inner one was made by the first of the user's subordinate ids.
    pub fn nested_by_subordinate(user: &User) -> Self {
        let line = "unshare --user --map-root-user --map-auto setpriv --reuid=1 --regid=1 --clear-groups \
                    unshare --user --map-root-user --net sleep infinity";
        Self::new(user.spawn(line.split_whitespace()))
    }

    /// In a network namespace of root's.
    pub fn roots(host: &Host) -> Self {
        Self::new(host.spawn(words("unshare --net sleep infinity")))
    }

    /// Its process, as the machine numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// One of its namespaces: `net`, `mnt`, `user`.
    #[track_caller]
    pub fn namespace(&self, kind: &str) -> OwnedFd {
        self.open(&format!("ns/{kind}"), OFlags::RDONLY)
    }

    /// Its network namespace.
    #[track_caller]
    pub fn net(&self) -> OwnedFd {
        self.namespace("net")
    }

    /// A file below its folder in /proc.
    #[track_caller]
    pub fn open(&self, path: &str, flags: OFlags) -> OwnedFd {
        let path = format!("/proc/{}/{path}", self.pid);
        open(&path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Ends it.
    pub fn end(mut self) {
        self.process.kill9();
    }
}

/// The first of a user's subordinate ids.
pub fn subordinate(user: &User) -> u32 {
    let table = fs::read_to_string(user.host().path("/etc/subuid")).expect("the host has subordinate ids");
    let line = table.lines().find_map(|line| line.strip_prefix(&format!("{}:", user.name())));
    let first = line.and_then(|line| line.split(':').next()?.parse().ok());
    first.expect("the user has subordinate ids")
}

/// A network namespace of a user's that is nothing but a bind mount: nobody is in it.
pub fn bind_mounted(user: &User) -> OwnedFd {
    let script = "mount -t tmpfs none /mnt; : >/mnt/ns; \
                  unshare --net sh -c 'mount --bind /proc/self/ns/net /mnt/ns'";
    let holder = Holder::own_after(user, script);
    let namespace = holder.open("root/mnt/ns", OFlags::RDONLY);
    holder.end();
    rustix::fs::fcntl_getfl(namespace.as_fd()).expect("it is open");
    namespace
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

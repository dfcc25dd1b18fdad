//! Starts the wrapper as podman does: by the name slirp4netns, with a log as its output, a ready
//! descriptor 3 and an exit descriptor 4; and a real slirp4netns that writes down how it was started.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A container's id.
pub const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The wrapper.
const SHIM: &str = env!("CARGO_BIN_EXE_v6pod-shim");

/// What [`Engine`] puts in the place of slirp4netns: it ends with 7 when a line comes on descriptor 4.
const REAL: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
for argument; do printf '%s\n' "$argument"; done >arguments
(ls -l /proc/$$/fd >descriptors)
printf 1 >&3
echo $$ >pid.new
mv pid.new pid
read -r _ <&4
exit 7
"#;

/// A folder with everything in it.
pub struct Engine {
    folder: tempfile::TempDir,
    log: String,
    variables: Vec<(&'static str, PathBuf)>,
    /// What starts the wrapper, itself started by `exec`.
    launcher: &'static str,
}

impl Engine {
    /// The container `ID` is called "web".
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = format!("slirp4netns-{ID}.log");
        let engine = Self { folder, log, variables: Vec::new(), launcher: "" };
        let store = engine.at("home/.local/share/containers/storage/overlay-containers");
        fs::create_dir_all(&store).unwrap();
        let list = format!(r#"[{{"id":"{ID}","names":["web"]}}]"#);
        fs::write(store.join("volatile-containers.json"), list).unwrap();
        fs::write(engine.at("real"), REAL).unwrap();
        fs::set_permissions(engine.at("real"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(SHIM, engine.at("slirp4netns")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, engine.at("exit"), mode).unwrap();
        engine
    }

    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the wrapper looks for the daemon.
    pub fn socket(&self) -> PathBuf {
        self.at("socket")
    }

    /// Names the log differently.
    pub fn log(mut self, name: &str) -> Self {
        name.clone_into(&mut self.log);
        self
    }

    /// Sets a variable.
    pub fn set(mut self, name: &'static str, value: impl Into<PathBuf>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Starts the wrapper as rootless podman does: as the root of a user namespace in which only one
    /// ordinary user has a place.
    pub fn rootless(mut self) -> Self {
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // The build folder may be closed to others.
        fs::remove_file(self.at("slirp4netns")).unwrap();
        fs::copy(SHIM, self.at("slirp4netns")).unwrap();
        self.launcher = "setpriv --reuid=4711 --regid=4711 --clear-groups unshare --map-root-user";
        self
    }

    /// Starts the wrapper where `/etc` has nothing but a client.toml of this text.
    pub fn settings(mut self, text: &str) -> Self {
        fs::write(self.at("client.toml"), text).unwrap();
        let script = "mount -t tmpfs -o mode=755 none /etc && mkdir /etc/v6pod && cp client.toml /etc/v6pod/ && \
            exec \"$@\"";
        fs::write(self.at("private-etc"), script).unwrap();
        self.launcher = "unshare --mount sh ./private-etc";
        self
    }

    /// Starts the wrapper.
    pub fn start(&self, arguments: &str) -> Started<'_> {
        let child = Command::new("/bin/sh")
            .args(["-c", r#"exec $LAUNCHER "$0" "$@" 3>ready 4<>exit"#, "./slirp4netns"])
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LAUNCHER", self.launcher)
            .env("HOME", self.at("home"))
            .env("V6POD_SOCKET", self.socket())
            .env("V6POD_SLIRP4NETNS", self.at("real"))
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.at(&self.log)).unwrap())
            .stderr(fs::File::create(self.at("stderr")).unwrap())
            .spawn()
            .unwrap();
        Started { engine: self, child, since: Instant::now() }
    }

    /// What the wrapper wrote to standard error.
    pub fn stderr(&self) -> String {
        self.text("stderr")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

/// A running wrapper.
pub struct Started<'a> {
    engine: &'a Engine,
    child: Child,
    since: Instant,
}

/// How the real slirp4netns was started.
pub struct Real {
    /// Its arguments, separated by spaces.
    pub arguments: String,
    /// Its descriptors and what they are, without what is no concern of the test.
    pub descriptors: Vec<(i32, PathBuf)>,
    /// How long it took.
    pub after: Duration,
}

impl Started<'_> {
    /// Waits for the real one. It has to be the same process, with silence before it.
    pub fn real(&mut self) -> Real {
        let pid = self.engine.at("pid");
        wait(|| pid.exists() || self.child.try_wait().unwrap().is_some());
        let after = self.since.elapsed();
        assert!(pid.exists(), "it never came: {}", self.engine.stderr());
        assert_eq!(self.engine.text("pid").trim(), self.child.id().to_string());
        assert_eq!(self.engine.text("ready"), "1");
        assert_eq!(self.engine.text(&self.engine.log), "");
        let mut descriptors: Vec<_> =
            self.engine.text("descriptors").lines().filter_map(descriptor).collect();
        // Not the shell's own, which is the script it reads, nor what this program was started with.
        let script = self.engine.at("real");
        descriptors.retain(|(number, path)| *path != script && !is_inherited(*number));
        descriptors.sort();
        Real { arguments: self.engine.text("arguments").trim_end().replace('\n', " "), descriptors, after }
    }

    /// Ends the real one as conmon would, and returns the exit code.
    pub fn stop(self) -> i32 {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.engine.at("exit"))
            .unwrap()
            .write_all(b"\n")
            .unwrap();
        self.end()
    }

    /// Waits for the end.
    pub fn end(mut self) -> i32 {
        wait(|| self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code().unwrap()
    }
}

/// The end of a line of `ls -l`: `10 -> pipe:[5]`.
fn descriptor(line: &str) -> Option<(i32, PathBuf)> {
    let (before, path) = line.split_once(" -> ")?;
    Some((before.rsplit(' ').next()?.parse().ok()?, PathBuf::from(path)))
}

/// Whether this program passes a descriptor on by accident: whoever started it left it open.
fn is_inherited(number: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    number > 4 && flags.is_some_and(|flags| flags & rustix::fs::OFlags::CLOEXEC.bits() == 0)
}

/// Waits for something that takes milliseconds.
fn wait(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

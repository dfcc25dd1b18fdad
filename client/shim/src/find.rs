//! Finding the daemon's socket from inside rootless podman's network namespace.
//!
//! Programs that rootless podman starts there (netavark and its plugins, CNI plugins) live in a mount
//! namespace in which podman has covered `/run`. But podman itself still sees the host's, and the kernel
//! shows what another process of the same user sees under `/proc/PID/root`. So the socket is looked for
//! plainly, then with the eyes of every ancestor (netavark, podman, conmon), then with those of the process
//! that keeps podman's user namespace.
//!
//! What is found is not trusted for being there: [`crate::connect`] asks the kernel who listens.

use std::{
    fs, iter,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use crate::{connect, files, settings::Environment};

/// The most generations looked at; podman is the second or third.
const GENERATIONS: usize = 32;

/// Bounds for `/proc/PID/status` and for podman's file with a process id.
const LARGEST: u64 = 64 * 1024;

/// The path under which the daemon's socket can be seen; the one it should have if it cannot be seen at all.
/// `root` is "/", which holds `proc`.
pub fn socket(root: &Path, environment: Environment<'_>) -> Result<PathBuf, connect::Error> {
    let told = connect::socket_from(environment(connect::SOCKET_VARIABLE).as_deref())?;
    let inside = told.strip_prefix("/").unwrap_or(&told);
    let seen = |pid: u32| root.join("proc").join(pid.to_string()).join("root").join(inside);
    let processes = ancestors(root).chain(iter::once_with(|| pause(environment)).flatten());
    let found = iter::once(root.join(inside)).chain(processes.map(seen)).find(|path| is_socket(path));
    Ok(found.unwrap_or(told))
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

/// The parent, its parent, and so on, as far as this PID namespace goes.
fn ancestors(root: &Path) -> impl Iterator<Item = u32> {
    let parent = |of: &str| {
        let status = files::read(&root.join("proc").join(of).join("status"), LARGEST).ok()?;
        let status = String::from_utf8_lossy(&status);
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().parse::<u32>().ok().filter(|pid| *pid != 0)
    };
    iter::successors(parent("self"), move |pid| parent(&pid.to_string())).take(GENERATIONS)
}

/// The process in which rootless podman keeps its namespaces.
fn pause(environment: Environment<'_>) -> Option<u32> {
    let folder = environment("XDG_RUNTIME_DIR").filter(|value| !value.is_empty())?;
    let file = Path::new(&folder).join("libpod/tmp/pause.pid");
    String::from_utf8(files::read(&file, LARGEST).ok()?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::net::UnixListener};

    use super::*;

    /// A made-up "/" with these processes and their parents; "self" is 10.
    fn world(parents: &[(u32, u32)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (pid, parent) in parents {
            let folder = root.path().join("proc").join(pid.to_string());
            fs::create_dir_all(folder.join("root")).unwrap();
            fs::write(folder.join("status"), format!("Name:\tx\nPPid:\t{parent}\n")).unwrap();
        }
        if !parents.is_empty() {
            std::os::unix::fs::symlink("10", root.path().join("proc/self")).unwrap();
        }
        root
    }

    fn listen(root: &Path, at: &str) -> PathBuf {
        let path = root.join(at).join("run/v6pod/v6pod.sock");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(&path).unwrap();
        path
    }

    #[test]
    fn the_nearest_view_wins() {
        let root = world(&[(10, 9), (9, 8), (8, 1), (1, 0)]);
        let root = root.path();
        let nowhere = Path::new(v6pod_proto::SOCKET);
        assert_eq!(socket(root, &|_| None).unwrap(), nowhere);
        // A folder of that name is none.
        fs::create_dir_all(root.join("proc/9/root/run/v6pod/v6pod.sock")).unwrap();
        assert_eq!(socket(root, &|_| None).unwrap(), nowhere);
        for at in ["proc/1/root", "proc/8/root", ""] {
            let path = listen(root, at);
            assert_eq!(socket(root, &|_| None).unwrap(), path);
        }
    }

    #[test]
    fn the_pause_process_is_the_last_resort() {
        let root = world(&[(10, 1), (1, 0), (77, 1)]);
        let path = listen(root.path(), "proc/77/root");
        let runtime = root.path().join("runtime");
        fs::create_dir_all(runtime.join("libpod/tmp")).unwrap();
        fs::write(runtime.join("libpod/tmp/pause.pid"), "77\n").unwrap();
        let environment =
            |name: &str| (name == "XDG_RUNTIME_DIR").then(|| OsString::from(runtime.as_os_str()));
        assert_eq!(socket(root.path(), &environment).unwrap(), path);
    }

    #[test]
    fn odd_processes_are_no_trouble() {
        // A circle, and no /proc at all.
        let circle = world(&[(10, 9), (9, 10)]);
        assert_eq!(socket(circle.path(), &|_| None).unwrap(), Path::new(v6pod_proto::SOCKET));
        let nothing = world(&[]);
        assert_eq!(socket(nothing.path(), &|_| None).unwrap(), Path::new(v6pod_proto::SOCKET));
    }

    #[test]
    fn the_environment_is_heeded() {
        let root = world(&[(10, 9), (9, 1)]);
        let path = root.path().join("proc/9/root/x/socket");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(&path).unwrap();
        let environment =
            |name: &str| (name == connect::SOCKET_VARIABLE).then(|| OsString::from("/x/socket"));
        assert_eq!(socket(root.path(), &environment).unwrap(), path);
        assert!(socket(root.path(), &|_| Some(OsString::from("x"))).is_err());
    }
}

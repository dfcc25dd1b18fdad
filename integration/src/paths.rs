//! Where the programs under test and the tests' supplies are on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The folder in which `integration/prepare` keeps what it downloaded and built.
pub fn cache() -> PathBuf {
    env::var_os("V6POD_TEST_CACHE").map_or_else(|| PathBuf::from("/var/cache/v6pod-test"), PathBuf::from)
}

/// The Python interpreter, in a host, that can import grpc and grpc_tools.
pub const PYTHON: &str = "/usr/local/lib/v6pod-test/python/bin/python";

/// The newest build of one of the workspace's programs, if there is one: that of the running profile or
/// that of the profile `shim`.
pub fn program(name: &str) -> Option<PathBuf> {
    let profile = profile_folder();
    let shim = profile.with_file_name("shim");
    [profile, shim]
        .iter()
        .map(|folder| folder.join(name))
        .filter_map(|path| Some((modified(&path)?, path)))
        .max()
        .map(|(_, path)| path)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// `target/PROFILE`, seen from a test (`target/PROFILE/deps/NAME-HASH`) or a program (`target/PROFILE/NAME`).
fn profile_folder() -> PathBuf {
    let mut folder = env::current_exe().expect("the running program has a path");
    folder.pop();
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.pop();
    }
    folder
}

//! Finding the real slirp4netns, and becoming it.
//!
//! The wrapper is usually found where slirp4netns was looked for, so the search must not find the wrapper
//! again, under whatever name. What gets past that (a copy of the wrapper) is stopped by a mark in the
//! environment: `exec` keeps the pid, so a wrapper that finds its own pid there was started by a wrapper.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::settings::Environment;

/// The program's name.
const NAME: &str = "slirp4netns";

/// Where it is looked for after `PATH`.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/libexec/podman"];

/// The mark: the pid of the wrapper that executed this program.
const MARK: &str = "V6POD_SHIM_PID";

/// Why there is nothing to execute.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The search came to its end.
    #[error("there is no slirp4netns besides this wrapper; set slirp4netns in /etc/v6pod/client.toml")]
    NotFound,
    /// The path that was set is the wrapper's.
    #[error("{} is this wrapper itself; set slirp4netns in /etc/v6pod/client.toml to the real one", .0.display())]
    Itself(PathBuf),
    /// This process has been the wrapper before.
    #[error(
        "what was taken for slirp4netns is another copy of this wrapper; set slirp4netns in /etc/v6pod/client.toml"
    )]
    Loop,
    /// The kernel did not execute it.
    #[error("cannot execute {}: {source}", .path.display())]
    Execute {
        /// The program.
        path: PathBuf,
        /// What `execve` said.
        source: io::Error,
    },
}

/// The real slirp4netns: the one that is `set`, else the first that is not `own`, this program's file.
pub fn find(
    set: Option<&Path>,
    own: Option<&Metadata>,
    environment: Environment<'_>,
) -> Result<PathBuf, Error> {
    if environment(MARK).is_some_and(|pid| pid == *std::process::id().to_string()) {
        return Err(Error::Loop);
    }
    let same = |file: &Metadata| own.is_some_and(|own| (own.dev(), own.ino()) == (file.dev(), file.ino()));
    if let Some(path) = set {
        // If it is missing, exec will say so.
        return match fs::metadata(path).is_ok_and(|file| same(&file)) {
            true => Err(Error::Itself(path.to_path_buf())),
            false => Ok(path.to_path_buf()),
        };
    }
    let path = environment("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(NAME))
        .find(|path| fs::metadata(path).is_ok_and(|file| is_program(&file) && !same(&file)))
        .ok_or(Error::NotFound)
}

fn is_program(file: &Metadata) -> bool {
    file.is_file() && file.permissions().mode() & 0o111 != 0
}

/// Becomes the program at `path`: same pid, same environment but for the mark, every inherited
/// descriptor, and `called` as its name, which its help and its complaints begin with. The standard library
/// undoes what it did to SIGPIPE at the start. Returns only to fail.
pub fn become_real(path: &Path, called: &OsStr, arguments: &[OsString]) -> Error {
    let mark = std::process::id().to_string();
    let source = Command::new(path).arg0(called).args(arguments).env(MARK, mark).exec();
    Error::Execute { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_wrapper_does_not_find_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).join(NAME);
        program(&at("own"), 0o755);
        program(&at("not-executable"), 0o644);
        program(&at("real"), 0o755);
        fs::create_dir(folder.path().join("link")).unwrap();
        fs::create_dir(folder.path().join("hard")).unwrap();
        fs::create_dir_all(at("folder")).unwrap();
        symlink(at("own"), at("link")).unwrap();
        fs::hard_link(at("own"), at("hard")).unwrap();
        let own = fs::metadata(at("own")).unwrap();
        let path = ["absent", "own", "link", "hard", "not-executable", "folder", "real"];
        let path = std::env::join_paths(path.map(|name| folder.path().join(name))).unwrap();
        let environment = |name: &str| (name == "PATH").then(|| path.clone());
        assert_eq!(find(None, Some(&own), &environment).unwrap(), at("real"));
        assert!(matches!(find(Some(&at("link")), Some(&own), &environment), Err(Error::Itself(_))));
        assert_eq!(find(Some(&at("real")), Some(&own), &environment).unwrap(), at("real"));
        assert_eq!(find(Some(&at("gone")), Some(&own), &environment).unwrap(), at("gone"));
    }

    #[test]
    fn a_copy_of_the_wrapper_ends_it() {
        let pid = OsString::from(std::process::id().to_string());
        assert!(matches!(find(None, None, &|name| (name == MARK).then(|| pid.clone())), Err(Error::Loop)));
        let other = |name: &str| (name == MARK).then(|| OsString::from("1"));
        assert_eq!(find(Some(Path::new("/x")), None, &other).unwrap(), Path::new("/x"));
    }
}

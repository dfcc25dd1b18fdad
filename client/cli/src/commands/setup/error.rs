//! Why a setup failed. Nothing has been written then, unless writing itself failed.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::error::{FAILED, NOT_FOUND};

/// Why a setup failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--user` names nobody.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// The user database cannot be asked.
    #[error("cannot look up the user {user}: {source}")]
    Lookup {
        /// Who.
        user: String,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else's configuration.
    #[error("only root may set up {0}: leave --user out for yourself")]
    NotYours(String),
    /// root has no containers without root.
    #[error("root is not an ordinary user: leave --user out, and it is set up for everybody")]
    Root,
    /// There is no place for a user's configuration.
    #[error("HOME is not set: where is your configuration?")]
    NoHome,
    /// The thread that works as the user could not be made so.
    #[error("cannot act as {user}: {source}")]
    Become {
        /// Who.
        user: String,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be read, written or removed.
    #[error("cannot {verb} {}: {source}", .path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file is in the way.
    #[error("{} is not from v6pod setup: move it away first", .0.display())]
    Foreign(PathBuf),
    /// A file that has to be added to is no TOML.
    #[error("{}: {message}", .path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What its reader said.
        message: String,
    },
    /// The key is there.
    #[error("{} sets {key} already: remove that line first", .path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// Lines cannot be put into a file without touching what is there.
    #[error("{} is written in a way this cannot add to: put {line} into its table [{table}]", .path.display())]
    Unusual {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
        /// Where it goes.
        table: &'static str,
    },
    /// A path that no configuration file can name.
    #[error("{} is not UTF-8: a configuration file cannot name it", .0.display())]
    Unspeakable(PathBuf),
    /// podman is too old or too new for it.
    #[error("podman {version} {why}")]
    Podman {
        /// The version.
        version: String,
        /// Why not, and what to do instead.
        why: String,
    },
}

impl Error {
    /// A function that says which file could not be treated how.
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { verb, path: path.to_owned(), source }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoUser(_) => NOT_FOUND,
            _ => FAILED,
        }
    }
}

//! podman: the stand-in takes slirp4netns' place.

use std::process::Command;

use super::{Error, WRAPPER, Wanted, block::Key, plan::Change, scope::Scope};

/// podman 5 would use pasta; podman 4.5 and older do not know the key, and say nothing.
const NETWORK: &str = "\n[network]\ndefault_rootless_network_cmd = \"slirp4netns\"\n";

/// The podman of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Podman {
    /// There is none, or it does not say which it is.
    Unknown,
    /// Its major and minor version.
    Version(u32, u32),
}

impl Podman {
    /// Asks it.
    pub fn find() -> Self {
        let output = Command::new("podman").arg("--version").output();
        output.map_or(Self::Unknown, |output| Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// "podman version 4.3.1"
    fn parse(text: &str) -> Self {
        let version = text.trim().strip_prefix("podman version ");
        let mut numbers = version.unwrap_or_default().split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Self::Version(major, minor),
            _ => Self::Unknown,
        }
    }

    /// Whether it reads the files in `containers.conf.d`.
    pub fn reads_drop_ins(self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Version(major, minor) => (major, minor) >= (3, 3),
        }
    }

    /// What there is to say of it.
    pub fn notes(self) -> Vec<String> {
        let mut notes = Vec::new();
        if self == Self::Unknown {
            notes.push("podman does not tell its version here: this is for podman 3.3 and later".to_owned());
        }
        if let Some(file) = std::env::var_os("CONTAINERS_CONF") {
            notes.push(format!("CONTAINERS_CONF is set: podman reads {} alone", file.display()));
        }
        notes
    }

    /// An error that begins with the version.
    pub fn cannot(self, why: &str) -> Error {
        let version = match self {
            Self::Unknown => String::new(),
            Self::Version(major, minor) => format!("{major}.{minor}"),
        };
        Error::Podman { version, why: why.to_owned() }
    }
}

/// What podman needs.
pub fn wanted(scope: &Scope, podman: Podman, undo: bool) -> Result<Wanted, Error> {
    let lines = format!("[engine]\nnetwork_cmd_path = \"{WRAPPER}\"\n{NETWORK}");
    let drop_in = Change::marked(scope.config("containers/containers.conf.d/v6pod.conf"), "podman", &lines);
    let key = Change::Key {
        path: scope.config("containers/containers.conf"),
        key: Key { table: "engine", key: "network_cmd_path", value: WRAPPER },
    };
    let changes = match podman {
        // What was written may be older than the podman of today.
        _ if undo => vec![drop_in, key],
        Podman::Version(6.., _) => {
            return Err(
                podman.cannot("has no slirp4netns: podman network create -d v6pod, or v6pod setup hook")
            );
        }
        Podman::Version(..2, _) => {
            return Err(podman.cannot(&format!(
                "reads no containers.conf: put network_cmd_path = \"{WRAPPER}\" at the top of its libpod.conf"
            )));
        }
        _ if podman.reads_drop_ins() => vec![drop_in],
        _ => vec![key],
    };
    let next = match undo {
        true => Vec::new(),
        false => ["podman run -d --name web IMAGE", "v6pod list"].map(str::to_owned).to_vec(),
    };
    Ok(Wanted { changes, next, notes: podman.notes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("podman version 4.3.1\n", Podman::Version(4, 3)),
            ("podman version 3.0.1", Podman::Version(3, 0)),
            ("podman version 6.0.0-dev\n", Podman::Version(6, 0)),
            ("podman version 5\n", Podman::Unknown),
            ("docker version 1.2\n", Podman::Unknown),
            ("", Podman::Unknown),
        ] {
            assert_eq!(Podman::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn each_version_gets_what_it_reads() {
        let scope = Scope::of(std::path::Path::new("/x"), Some("ann"));
        let paths = |podman, undo| {
            let wanted = wanted(&scope, podman, undo).ok()?;
            let path = |change: &Change| match change {
                Change::Own { path, .. } | Change::Key { path, .. } => path.display().to_string(),
            };
            Some(wanted.changes.iter().map(path).collect::<Vec<_>>())
        };
        let drop_in = "/x/home/.config/containers/containers.conf.d/v6pod.conf".to_owned();
        let file = "/x/home/.config/containers/containers.conf".to_owned();
        assert_eq!(paths(Podman::Version(1, 6), false), None);
        assert_eq!(paths(Podman::Version(3, 2), false), Some(vec![file.clone()]));
        assert_eq!(paths(Podman::Version(3, 3), false), Some(vec![drop_in.clone()]));
        assert_eq!(paths(Podman::Version(5, 8), false), Some(vec![drop_in.clone()]));
        assert_eq!(paths(Podman::Unknown, false), Some(vec![drop_in.clone()]));
        assert_eq!(paths(Podman::Version(6, 0), false), None);
        assert_eq!(paths(Podman::Version(6, 0), true), Some(vec![drop_in, file]));
        assert!(wanted(&scope, Podman::Version(4, 3), true).unwrap().next.is_empty());
    }
}

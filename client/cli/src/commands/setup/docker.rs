//! Rootless Docker: rootlesskit starts the stand-in as its slirp4netns.

use super::{Error, WRAPPER, Wanted, plan::Change, scope::Scope};

/// Where units for users are, in the order they count.
const UNITS: [&str; 4] =
    ["etc/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user", "lib/systemd/user"];

/// What rootless Docker needs.
pub fn wanted(scope: &Scope, undo: bool) -> Result<Wanted, Error> {
    // dockerd-rootless.sh hands the flags on without quotes: no spaces.
    let lines = format!(
        "[Service]\n\
         Environment=DOCKERD_ROOTLESS_ROOTLESSKIT_NET=slirp4netns\n\
         Environment=DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS=--slirp4netns-binary={WRAPPER}\n\
         # The address is the same at every start because it has a name; %u is the user.\n\
         Environment=V6POD_NAME=docker-%u\n"
    );
    let path = scope.config("systemd/user/docker.service.d/v6pod.conf");
    let mut next = vec!["systemctl --user daemon-reload && systemctl --user restart docker".to_owned()];
    next.extend((!undo).then(|| "v6pod list".to_owned()));
    let mut notes = Vec::new();
    let unit = scope.config("systemd/user/docker.service");
    let everybodys = || UNITS.iter().any(|folder| scope.system(folder).join("docker.service").exists());
    if scope.user().is_some() && !unit.exists() && !everybodys() {
        notes.push(format!(
            "{} is not there yet: dockerd-rootless-setuptool.sh install makes it",
            unit.display()
        ));
    }
    Ok(Wanted { changes: vec![Change::marked(path, "docker", &lines)], next, notes })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_unit_that_is_missing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let scope = Scope::of(folder.path(), Some("ann"));
        let notes = || wanted(&scope, false).unwrap().notes.len();
        assert_eq!(notes(), 1);
        let units = folder.path().join("usr/lib/systemd/user");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join("docker.service"), "").unwrap();
        assert_eq!(notes(), 0);
        assert_eq!(wanted(&Scope::of(folder.path(), None), false).unwrap().notes.len(), 0);
    }

    #[test]
    fn docker_has_to_hear_of_an_undo_too() {
        let wanted = wanted(&Scope::of(std::path::Path::new("/x"), None), true).unwrap();
        assert_eq!(wanted.next, ["systemctl --user daemon-reload && systemctl --user restart docker"]);
    }
}

//! Whose configuration is written, where it is, and with whose rights.
//!
//! root for everybody: `/etc`. A user: their own configuration folder. root for a user: that folder too, and
//! then everything in it is read and written on a thread that has the user's uid and only their main group.
//! Whatever the user has put there (links to files of root's or of others, most of all) can lead it nowhere
//! the user could not go. The process itself stays root's: the user cannot signal or trace it, and no
//! program is executed as the user, so no descriptor or terminal of root's gets into the user's hands.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use rustix::{
    fs::{Gid, Uid},
    process::geteuid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::Error;
use crate::users::Users;

/// Whose configuration it is.
#[derive(Debug)]
pub struct Scope {
    /// `/`, but for tests.
    root: PathBuf,
    /// The folder that stands for `/etc`.
    config: PathBuf,
    /// The user, if it is one's.
    user: Option<String>,
    /// Who to be while it is read and written.
    identity: Option<Identity>,
}

/// An ordinary user's rights.
#[derive(Debug, Clone, Copy)]
struct Identity {
    uid: u32,
    gid: u32,
}

impl Scope {
    /// Finds out from who runs this, and what `--user` says.
    pub fn find(named: Option<&str>) -> Result<Self, Error> {
        let root = PathBuf::from("/");
        let own = geteuid();
        let Some(named) = named else {
            if own.is_root() {
                return Ok(Self { config: "/etc".into(), root, user: None, identity: None });
            }
            let config = own_config(|name| env::var_os(name)).ok_or(Error::NoHome)?;
            let user = Users::load().name(own.as_raw());
            return Ok(Self { config, root, user: Some(user), identity: None });
        };
        let account = Account::find(named)?;
        if account.uid == 0 {
            return Err(Error::Root);
        }
        if account.uid == own.as_raw() {
            let config = own_config(|name| env::var_os(name)).unwrap_or_else(|| account.config());
            return Ok(Self { config, root, user: Some(account.name), identity: None });
        }
        if !own.is_root() {
            return Err(Error::NotYours(account.name));
        }
        let identity = Some(Identity { uid: account.uid, gid: account.gid });
        Ok(Self { config: account.config(), root, user: Some(account.name), identity })
    }

    /// A file or folder of the configuration.
    pub fn config(&self, path: &str) -> PathBuf {
        self.config.join(path)
    }

    /// A file or folder of the system's.
    pub fn system(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The user, unless it is for everybody.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether a folder that is empty may be removed. Those that every system or user has may not, even if
    /// they were made here: others take them for granted.
    pub fn may_remove(&self, folder: &Path) -> bool {
        let below = |top: &Path| folder.starts_with(top) && folder != top;
        below(&self.config) || self.user.is_none() && below(&self.system("usr/share"))
    }

    /// Runs `work` with the rights that fit.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let Some(identity) = self.identity else { return Ok(work()) };
        let source = |source| Error::Become { user: self.user.clone().unwrap_or_default(), source };
        let become_and_work = || identity.assume().map(|()| work());
        // The thread ends with its rights; a panic is handed on.
        let outcome = thread::scope(|threads| threads.spawn(become_and_work).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(source)
    }
}

impl Identity {
    /// Gives this thread, and it alone, the user's rights. The effective ids are what files are opened with,
    /// and leaving uid 0 takes the effective capabilities along; the real ids stay root's.
    fn assume(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[gid])?;
        set_thread_res_gid(None, gid, None)?;
        set_thread_res_uid(None, uid, None)?;
        Ok(())
    }
}

/// Where this user's configuration is, as the XDG base directory specification has it.
fn own_config(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))
}

/// An entry of the user database.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

impl Account {
    /// Asks every source of users the host has, which getent(1) knows how to.
    fn find(user: &str) -> Result<Self, Error> {
        let failed = |source| Error::Lookup { user: user.to_owned(), source };
        let output = Command::new("getent").args(["passwd", "--", user]).output().map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().find_map(Self::parse).ok_or_else(|| Error::NoUser(user.to_owned()))
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        let home = Some(PathBuf::from(home)).filter(|home| home.is_absolute())?;
        Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    }

    fn config(&self) -> PathBuf {
        self.home.join(".config")
    }
}

#[cfg(test)]
impl Scope {
    /// A user's, or the system's, under a folder that stands for `/`.
    pub fn of(root: &Path, user: Option<&str>) -> Self {
        let config = root.join(if user.is_some() { "home/.config" } else { "etc" });
        Self { root: root.to_owned(), config, user: user.map(str::to_owned), identity: None }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn configuration_is_where_xdg_says() {
        let found = |variables: &[(&str, &str)]| {
            let variables = variables.to_vec();
            own_config(|name| Some(variables.iter().find(|(known, _)| *known == name)?.1.into()))
        };
        assert_eq!(found(&[("HOME", "/h")]), Some("/h/.config".into()));
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]), Some("/c".into()));
        assert_eq!(found(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "c")]), Some("/h/.config".into()));
        assert_eq!(found(&[("HOME", "")]), None);
    }

    #[test]
    fn folders_of_others_are_not_removed() {
        let may = |user, folder: &str| Scope::of(Path::new("/"), user).may_remove(Path::new(folder));
        for folder in ["/etc", "/usr/share", "/usr", "/", "/home/.config", "/etcetera/x"] {
            assert!(!may(None, folder), "{folder}");
        }
        assert!(may(None, "/etc/containers") && may(None, "/usr/share/containers/oci"));
        assert!(may(Some("ann"), "/home/.config/containers"));
        assert!(!may(Some("ann"), "/home/.config") && !may(Some("ann"), "/etc/containers"));
    }

    #[test]
    fn accounts_are_read_from_the_user_database() {
        let account = Account::parse("ann:x:1001:1002:Ann,,:/home/ann:/bin/sh").unwrap();
        let expected = Account { name: "ann".into(), uid: 1001, gid: 1002, home: "/home/ann".into() };
        assert_eq!(account, expected);
        for line in ["", "ann", "ann:x:one:1::/h:/s", "ann:x:1:1::relative:/s", "ann:x:-1:1::/h:/s"] {
            assert_eq!(Account::parse(line), None, "{line}");
        }
        assert!(matches!(Account::find("no-such-user"), Err(Error::NoUser(_))));
        assert!(matches!(Account::find("--help"), Err(Error::NoUser(_))));
        assert!(matches!(Scope::find(Some("root")), Err(Error::Root)));
    }

    /// Runs as root, as all tests of this crate that need a daemon do.
    #[test]
    fn another_identity_has_no_rights_of_roots_and_ends_with_its_thread() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = folder.path().join("roots");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let identity = Some(Identity { uid: 4_000_001, gid: 4_000_001 });
        let scope = Scope { identity, ..Scope::of(folder.path(), Some("ann")) };
        let denied = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::PermissionDenied;
        let outcome = scope.run(|| {
            let read = fs::read(&file).map(drop);
            let write = fs::write(&file, "");
            (geteuid().as_raw(), denied(read), denied(write), denied(fs::remove_file(&file)))
        });
        assert_eq!(outcome.unwrap(), (4_000_001, true, true, true));
        assert!(geteuid().is_root());
        assert_eq!(fs::read(&file).unwrap(), b"secret");
    }
}

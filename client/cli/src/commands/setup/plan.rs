//! Files as they are to be: what has to be done for it, and doing it.
//!
//! A [`Change`] says what is wanted, a [`Step`] what has to be written or removed, in bytes; only
//! [`Step::act`] touches anything. Files are replaced whole (written beside and renamed), through links.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{Error, block, scope::Scope};
use rustix::fs::OFlags;

/// Far more than any configuration file has.
const LARGEST: u64 = 1024 * 1024;

/// The first line of files that are wholly ours, before the target's name.
const MARK: &str = "# Written by v6pod setup; this removes it: v6pod setup --undo ";

/// One file that is wanted.
pub enum Change {
    /// A file of our own.
    Own {
        /// Where.
        path: PathBuf,
        /// All of it.
        contents: String,
        /// Whether a file that is there is ours.
        is_ours: fn(&str) -> bool,
    },
    /// One more key in a TOML file of somebody else's.
    Key {
        /// Where.
        path: PathBuf,
        /// The key.
        key: block::Key,
    },
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not there.
    Written,
    /// It was there.
    Changed,
    /// It was as it should be.
    Unchanged,
    /// It is gone.
    Removed,
    /// Our lines are gone from it.
    Restored,
    /// There was nothing of ours.
    Absent,
}

impl Done {
    /// "written", "would write": for scripts.
    pub fn word(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Written, false) => "written",
            (Self::Changed, false) => "changed",
            (Self::Removed, false) => "removed",
            (Self::Restored, false) => "restored",
            (Self::Restored, true) => "would restore",
            (Self::Unchanged, _) => "unchanged",
            (Self::Absent, _) => "absent",
            (Self::Written | Self::Changed | Self::Removed, true) => self.words(true),
        }
    }

    /// "wrote", "would write".
    pub fn words(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Written, false) => "wrote",
            (Self::Written, true) => "would write",
            (Self::Changed, false) => "changed",
            (Self::Changed, true) => "would change",
            (Self::Removed, false) => "removed",
            (Self::Removed, true) => "would remove",
            (Self::Restored, false) => "removed our lines from",
            (Self::Restored, true) => "would remove our lines from",
            (Self::Unchanged, _) => "is as it should be:",
            (Self::Absent, _) => "was not there:",
        }
    }
}

/// What has to be done to one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The file.
    pub path: PathBuf,
    /// What that does to it.
    pub done: Done,
    /// Our lines, if they are in it then.
    pub lines: Option<String>,
    /// All of the file, if it is written.
    contents: Option<String>,
}

impl Change {
    /// A file of our own that begins with the mark.
    pub fn marked(path: PathBuf, target: &'static str, lines: &str) -> Self {
        let contents = format!("{MARK}{target}\n{lines}");
        Self::Own { path, contents, is_ours: |text| text.starts_with(MARK) }
    }

    /// What has to be done for it to be there.
    pub fn setup(&self) -> Result<Step, Error> {
        let step = |path: &Path, done, lines: &str, contents| Step {
            path: path.to_owned(),
            done,
            lines: Some(lines.to_owned()),
            contents,
        };
        match self {
            Self::Own { path, contents, is_ours } => {
                let done = match read(path)? {
                    None => Done::Written,
                    Some(text) if text == *contents => Done::Unchanged,
                    Some(text) if is_ours(&text) => Done::Changed,
                    Some(_) => return Err(Error::Foreign(path.clone())),
                };
                Ok(step(path, done, contents, (done != Done::Unchanged).then(|| contents.clone())))
            }
            Self::Key { path, key } => {
                let before = read(path)?;
                let after = key.insert(path, before.as_deref())?;
                let done = match &before {
                    None => Done::Written,
                    Some(before) if *before == after => Done::Unchanged,
                    Some(_) => Done::Changed,
                };
                Ok(step(path, done, &key.lines(), (done != Done::Unchanged).then_some(after)))
            }
        }
    }

    /// What has to be done for it to be gone.
    pub fn undo(&self) -> Result<Step, Error> {
        let step =
            |path: &Path, done, contents| Ok(Step { path: path.to_owned(), done, lines: None, contents });
        match self {
            // What is not ours was never written by us.
            Self::Own { path, is_ours, .. } => match read(path)? {
                Some(text) if is_ours(&text) => step(path, Done::Removed, None),
                _ => step(path, Done::Absent, None),
            },
            Self::Key { path, key } => match read(path)? {
                None => step(path, Done::Absent, None),
                Some(text) => match key.remove(path, &text)? {
                    block::Removed::Nothing => step(path, Done::Absent, None),
                    block::Removed::Lines(after) => step(path, Done::Restored, Some(after)),
                    block::Removed::All => step(path, Done::Removed, None),
                },
            },
        }
    }
}

impl Step {
    /// Does it.
    pub fn act(&self, scope: &Scope) -> Result<(), Error> {
        match (self.done, &self.contents) {
            (Done::Removed, _) => remove(&self.path, scope),
            (_, Some(contents)) => write(&self.path, contents, scope.user().is_none()),
            _ => Ok(()),
        }
    }
}

/// All of a regular file; `None` if there is none.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let attempt = || {
        // A FIFO must not hold us up.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
        }
        Ok(text)
    };
    match attempt() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Replaces a file, or makes it and the folders it is in. What everybody is to read is readable whatever the
/// umask; a user's new folders are private, as the XDG specification wants it.
fn write(path: &Path, contents: &str, everybody: bool) -> Result<(), Error> {
    // What a link leads to is written; the link stays.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder, if everybody { 0o755 } else { 0o700 })?;
    let permissions =
        fs::metadata(path).map_or_else(|_| Permissions::from_mode(0o644), |file| file.permissions());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.v6pod-{}", std::process::id()));
    let attempt = || {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(contents.as_bytes())?;
        file.set_permissions(permissions)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|error| {
        // If this fails as well, nothing can be done about it.
        let _ = fs::remove_file(&beside);
        Error::file("write", path)(error)
    })
}

/// Makes a folder and those it is in, with this mode whatever the umask.
fn make_folder(folder: &Path, mode: u32) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent, mode)?;
    }
    fs::DirBuilder::new()
        .mode(mode)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(mode)))
        .map_err(Error::file("make", folder))
}

/// Removes a file, and the folders that are empty then.
fn remove(path: &Path, scope: &Scope) -> Result<(), Error> {
    fs::remove_file(path).map_err(Error::file("remove", path))?;
    let folders = path.ancestors().skip(1).take_while(|folder| scope.may_remove(folder));
    // One that is not empty cannot be removed, and neither can those it is in.
    folders.map(fs::remove_dir).find(Result::is_err);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        scope: Scope,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let scope = Scope::of(folder.path(), Some("ann"));
            fs::create_dir_all(folder.path().join("home")).unwrap();
            Self { folder, scope }
        }

        fn change(&self, lines: &str) -> Change {
            Change::marked(self.scope.config("a/b/v6pod.conf"), "podman", lines)
        }

        fn do_it(&self, step: Result<Step, Error>) -> Done {
            let step = step.unwrap();
            step.act(&self.scope).unwrap();
            step.done
        }
    }

    #[test]
    fn a_file_of_ours_comes_changes_stays_and_goes() {
        let place = Place::new();
        let (one, other) = (place.change("x = 1\n"), place.change("x = 2\n"));
        let path = place.scope.config("a/b/v6pod.conf");
        assert_eq!(place.do_it(one.undo()), Done::Absent);
        assert_eq!(place.do_it(one.setup()), Done::Written);
        assert_eq!(place.do_it(one.setup()), Done::Unchanged);
        assert_eq!(place.do_it(other.setup()), Done::Changed);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{MARK}podman\nx = 2\n"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(place.scope.config("a")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(place.do_it(one.undo()), Done::Removed);
        assert_eq!(fs::read_dir(place.scope.config("")).unwrap().count(), 0, "the folders are gone too");
    }

    #[test]
    fn folders_with_something_in_them_stay() {
        let place = Place::new();
        let change = place.change("");
        place.do_it(change.setup());
        fs::write(place.scope.config("a/other"), "").unwrap();
        place.do_it(change.undo());
        assert!(place.scope.config("a/other").exists() && !place.scope.config("a/b").exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let place = Place::new();
        let path = place.scope.config("a/b/v6pod.conf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(place.change("x").setup(), Err(Error::Foreign(_))));
        assert_eq!(place.do_it(place.change("x").undo()), Done::Absent);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(place.change("x").setup(), Err(Error::File { verb: "read", .. })));
    }

    #[test]
    fn a_link_stays_a_link() {
        let place = Place::new();
        let real = place.folder.path().join("real.conf");
        fs::write(&real, format!("{MARK}podman\nold")).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        let path = place.scope.config("a/b/v6pod.conf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&real, &path).unwrap();
        assert_eq!(place.do_it(place.change("new").setup()), Done::Changed);
        assert!(path.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), format!("{MARK}podman\nnew"));
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640, "as it was");
    }

    #[test]
    fn nothing_half_written_stays() {
        let place = Place::new();
        // A folder that stands in the way of the rename.
        let path = place.scope.config("file");
        fs::create_dir_all(path.join("x")).unwrap();
        assert!(matches!(write(&path, "x", false), Err(Error::File { verb: "write", .. })));
        assert_eq!(fs::read_dir(place.scope.config("")).unwrap().count(), 1);
    }
}

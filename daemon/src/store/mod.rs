//! What survives the daemon: one file per attachment, written before the kernel is touched.
//!
//! A record is a whole JSON file that is replaced by renaming, so that a reader never sees half of one,
//! and adding one costs the same however many there are. It is not synced to disk: records describe
//! kernel objects, which a crash of the kernel takes along, and each says which boot it belongs to.
//! What has to outlive a boot (the prefix, the key, the instance) is synced.
//!
//! The file `version` tells the form of the whole directory, and each record its own; a directory without the
//! file has form 1. What a newer v6podd wrote is refused before anything is touched. The audit's files are of no
//! form: each of their lines says what it is, and readers pass over what they do not know.

mod lock;

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::model::{Attachment, AttachmentId};

/// The version of the form, of the directory and of each record, that this program writes.
const VERSION: u32 = 1;
/// The file that tells it.
const VERSION_FILE: &str = "version";
/// The folder of the records.
const ATTACHMENTS: &str = "attachments";

/// What went wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A newer v6podd wrote it.
    #[error(
        "{path} was written by a newer v6podd (form {found}, this one knows {VERSION}): install that version again, or have it remove all of its own with v6pod cleanup --all"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its form.
        found: u32,
    },
    /// Another daemon uses the directory.
    #[error(
        "another v6podd{} keeps its records in {directory}: stop it first: systemctl stop v6podd.socket v6podd.service",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Its process, if it is known.
        pid: Option<i32>,
    },
    /// What is remembered is not what we wrote.
    #[error("{path} holds {found:?}, which is not {what}: remove the file to have a new one made")]
    Garbled {
        /// Which.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What is there.
        found: String,
    },
}

impl Error {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    version: u32,
    boot: std::borrow::Cow<'a, str>,
    attachment: std::borrow::Cow<'a, Attachment>,
}

/// How long a daemon waits for the one before it to end; systemd waits by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state directory.
pub struct Store {
    directory: PathBuf,
    attachments: PathBuf,
    boot: String,
    /// Held as long as the store is.
    _lock: fs::File,
}

impl Store {
    /// Opens the directory for this process alone, making it if it is missing. `boot` tells one boot from
    /// another (`/proc/sys/kernel/random/boot_id`).
    ///
    /// # Errors
    /// A newer version wrote something there, and nothing was touched; another daemon uses it; it cannot be
    /// made.
    pub fn open(directory: &Path, boot: &str) -> Result<Self, Error> {
        check_version(directory)?;
        let attachments = directory.join(ATTACHMENTS);
        fs::create_dir_all(&attachments).map_err(Error::file(&attachments))?;
        // Who has which address is nobody's business but root's; `List` tells each their own.
        rustix::fs::chmod(directory, Mode::from_raw_mode(0o700))
            .map_err(|errno| Error::file(directory)(errno.into()))?;
        let lock = lock::take(directory, PATIENCE)?;
        let version = directory.join(VERSION_FILE);
        let text = format!("{VERSION}\n");
        if fs::read_to_string(&version).ok().as_ref() != Some(&text) {
            replace(&version, text.as_bytes()).map_err(Error::file(&version))?;
        }
        Ok(Self { directory: directory.to_owned(), attachments, boot: boot.trim().to_owned(), _lock: lock })
    }

    /// What tells this boot from others.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// A file of the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn record_path(&self, id: AttachmentId) -> PathBuf {
        self.attachments.join(format!("{id}.json"))
    }

    /// Writes an attachment's record, replacing an earlier one.
    ///
    /// # Errors
    /// The disk is full, or the directory is gone.
    pub fn write(&self, attachment: &Attachment) -> Result<(), Error> {
        let path = self.record_path(attachment.id);
        let file = File {
            version: VERSION,
            boot: self.boot.as_str().into(),
            attachment: std::borrow::Cow::Borrowed(attachment),
        };
        let text = serde_json::to_vec(&file).map_err(io::Error::from).map_err(Error::file(&path))?;
        let new = path.with_extension("new");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            // What a full disk took of it: a start would remove it, but may be far off.
            let _ = fs::remove_file(&new);
        }
        written.map_err(Error::file(&path))
    }

    /// Erases a record. One that is gone already is no error.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn erase(&self, id: AttachmentId) -> Result<(), Error> {
        let path = self.record_path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(&path)(error)),
            _ => Ok(()),
        }
    }

    /// All records of this boot. Those of an earlier one, and what cannot be read, are removed: the
    /// kernel objects they told of are gone, or are found by their marks.
    ///
    /// # Errors
    /// A newer version wrote a record, or the directory cannot be read.
    pub fn load(&self) -> Result<Vec<Attachment>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.attachments).map_err(Error::file(&self.attachments))? {
            let path = entry.map_err(Error::file(&self.attachments))?.path();
            if let Some(attachment) = self.read(&path)? {
                found.push(attachment);
            } else {
                fs::remove_file(&path).map_err(Error::file(&path))?;
            }
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> Result<Option<Attachment>, Error> {
        if !is_record(path) {
            return Ok(None);
        }
        let text = fs::read(path).map_err(Error::file(path))?;
        no_newer(path, &text)?;
        match serde_json::from_slice::<File<'_>>(&text) {
            Ok(file) if file.boot == self.boot => Ok(Some(file.attachment.into_owned())),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "removing a record that cannot be read");
                Ok(None)
            }
        }
    }

    /// A value that is remembered for good: read, or made and written.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn remember<T: std::str::FromStr + std::fmt::Display>(
        &self,
        name: &str,
        what: &'static str,
        make: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| Error::Garbled {
                path,
                what,
                found: text.trim().chars().take(80).collect(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let value = make();
                replace(&path, format!("{value}\n").as_bytes()).map_err(Error::file(&path))?;
                Ok(value)
            }
            Err(error) => Err(Error::file(&path)(error)),
        }
    }
}

/// Refuses what a newer version wrote, and touches nothing. A directory that is not there is fine.
///
/// # Errors
/// [`Error::Newer`]; [`Error::Garbled`] if nobody can tell.
pub fn check_version(directory: &Path) -> Result<(), Error> {
    let path = directory.join(VERSION_FILE);
    if let Some(text) = read_if_there(&path)? {
        let text = String::from_utf8_lossy(&text).trim().chars().take(80).collect::<String>();
        match text.parse() {
            Ok(found) if found > VERSION => return Err(Error::Newer { path, found }),
            Ok(_) => {}
            Err(_) => return Err(Error::Garbled { path, what: "the number of a form", found: text }),
        }
    }
    for path in records(directory)? {
        if let Some(text) = read_if_there(&path)? {
            no_newer(&path, &text)?;
        }
    }
    Ok(())
}

fn no_newer(path: &Path, text: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice(text) {
        Ok(Version { version: found }) if found > VERSION => {
            Err(Error::Newer { path: path.to_owned(), found })
        }
        _ => Ok(()),
    }
}

/// The files of the records.
fn records(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let folder = directory.join(ATTACHMENTS);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file(&folder))?,
    };
    let paths = entries.map(|entry| Ok(entry.map_err(Error::file(&folder))?.path()));
    paths.filter(|path| path.as_ref().map_or(true, |path| is_record(path))).collect()
}

fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(Error::file(path)),
    }
}

/// What is left of a daemon that runs no more, for clean-up: nothing is changed by looking at it.
pub struct Remains {
    /// The records of this boot that can be read.
    pub attachments: Vec<Attachment>,
    /// How many records there are that cannot be read, or are of an earlier boot.
    pub others: usize,
    /// Held while this is: no daemon can be started. None: there is no directory, or only a look was wanted.
    _lock: Option<fs::File>,
}

/// Looks at a state directory, which need not be there, and takes it for this process unless it is `only` a
/// look.
///
/// # Errors
/// A newer version wrote it, a daemon uses it, or it cannot be read.
pub fn remains(directory: &Path, boot: &str, only: bool) -> Result<Remains, Error> {
    check_version(directory)?;
    let lock = match directory.is_dir() {
        true if only => lock::check(directory).map(|()| None)?,
        true => Some(lock::take(directory, Duration::ZERO)?),
        false => None,
    };
    let (mut attachments, mut others) = (Vec::new(), 0);
    for path in records(directory)? {
        let text = read_if_there(&path)?.unwrap_or_default();
        match serde_json::from_slice::<File<'_>>(&text) {
            Ok(file) if file.boot == boot.trim() => attachments.push(file.attachment.into_owned()),
            _ => others += 1,
        }
    }
    Ok(Remains { attachments, others, _lock: lock })
}

/// Replaces a file as a whole and for good: written beside it, synced, renamed.
///
/// # Errors
/// What the file system says.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests;

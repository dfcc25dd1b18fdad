//! One process at a time: an flock(2) on the file `lock`, which names its holder.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::Error;
use crate::sys::process::is_dead;

/// The file.
const NAME: &str = "lock";
/// Between two looks at who holds it.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock, which is given back when the file is closed, at the latest by the process's end.
///
/// A process that was killed while it hangs in closing a stranger's file keeps its descriptors, and with them
/// the lock, for as long as that lasts. It does nothing any more: its lock file is put aside for a new one. A living
/// holder is waited for until `patience` is over: it may have been told to end.
///
/// # Errors
/// [`Error::InUse`], or the file cannot be made.
pub fn take(directory: &Path, patience: Duration) -> Result<fs::File, Error> {
    let path = directory.join(NAME);
    let start = Instant::now();
    loop {
        let mut file = open(&path).map_err(Error::file(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, &path) => {
                fs::write(&path, format!("{}\n", std::process::id())).map_err(Error::file(&path))?;
                return Ok(file);
            }
            // Somebody put it aside meanwhile.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let pid = holder(&mut file);
                if !pid.is_some_and(is_dead) {
                    if start.elapsed() < patience {
                        thread::sleep(PAUSE);
                        continue;
                    }
                    return Err(Error::InUse { directory: directory.to_owned(), pid });
                }
                if is_at(&file, &path) {
                    fs::remove_file(&path).map_err(Error::file(&path))?;
                }
            }
            Err(errno) => return Err(Error::file(&path)(errno.into())),
        }
    }
}

/// Opens the file, for reading alone: a disk with files that are open for writing cannot be made read-only.
fn open(path: &Path) -> io::Result<fs::File> {
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            fs::File::open(path)
        }
        opened => opened,
    }
}

/// Refuses if somebody has the lock, and touches nothing.
///
/// # Errors
/// [`Error::InUse`], or the file cannot be read.
pub fn check(directory: &Path) -> Result<(), Error> {
    let path = directory.join(NAME);
    let mut file = match fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(Error::file(&path))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => match holder(&mut file) {
            Some(pid) if is_dead(pid) => Ok(()),
            pid => Err(Error::InUse { directory: directory.to_owned(), pid }),
        },
        outcome => outcome.map_err(|errno| Error::file(&path)(errno.into())),
    }
}

/// Whether the file is the one that has this name.
fn is_at(file: &fs::File, path: &Path) -> bool {
    let id = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|found| (found.dev(), found.ino()));
    id(file.metadata()) == id(fs::metadata(path))
}

fn holder(file: &mut fs::File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

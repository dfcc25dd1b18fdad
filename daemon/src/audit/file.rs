//! The file: appended to, set aside when it is full, synced in batches.
//!
//! `audit.log` is written; `audit.log.1` is the one before, and so on up to `keep`. All are root's, mode
//! 0600, in a folder of mode 0700. A new one is written to `audit.log.new` with its head, synced, and only
//! then renamed: there is never an `audit.log` without a whole head. Nothing that was written is altered; a
//! line that a full disk or a crash tore is ended by the next line's line end and passed over by readers.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::Config;

/// The file that is written.
const NAME: &str = "audit.log";

/// The files.
pub struct Log {
    directory: PathBuf,
    size: u64,
    keep: u32,
    known: Option<Known>,
    /// Open only while it is written: nobody has to stop the daemon to unmount the disk.
    file: Option<File>,
}

/// What is known of the file that is written.
struct Known {
    /// Device and inode.
    id: (u64, u64),
    octets: u64,
    /// How many octets it had when it was begun.
    head: u64,
    /// The last write ended within a line.
    torn: bool,
    /// Something is not synced.
    dirty: bool,
}

/// What there is to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The file that was written before.
    Same,
    /// Another one: an earlier run's.
    Other,
    /// None. One has to be begun.
    Nothing,
}

impl Log {
    /// The files in this folder, none of them open.
    pub fn new(directory: PathBuf, config: &Config) -> Self {
        Self { directory, size: config.size, keep: config.keep, known: None, file: None }
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, number: u32) -> PathBuf {
        match number {
            0 => self.directory.join(NAME),
            _ => self.directory.join(format!("{NAME}.{number}")),
        }
    }

    /// Opens the file, until it is closed again. An administrator may have removed it meanwhile.
    ///
    /// # Errors
    /// The folder cannot be made, or the file not be opened.
    pub fn open(&mut self) -> io::Result<Opened> {
        let file = match writing().read(true).append(true).open(self.path(0)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known = None;
                DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
                return Ok(Opened::Nothing);
            }
            opened => opened?,
        };
        let (id, octets) = identify(&file)?;
        let opened = match &mut self.known {
            Some(known) if known.id == id => Opened::Same,
            known => {
                let mut last = [b'\n'];
                if octets > 0 {
                    file.read_exact_at(&mut last, octets - 1)?;
                }
                *known = Some(Known { id, octets, head: 0, torn: last != [b'\n'], dirty: false });
                self.remove_surplus()?;
                Opened::Other
            }
        };
        self.file = Some(file);
        Ok(opened)
    }

    /// Closes the file.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// What is beyond `keep`, since that was lowered.
    fn remove_surplus(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix(NAME)?.strip_prefix('.')?.parse().ok());
            if number.is_some_and(|number: u32| number > self.keep) {
                fs::remove_file(self.directory.join(name))?;
            }
        }
        Ok(())
    }

    /// Whether the next write belongs into a new file. A head leaves room for as much again.
    pub fn is_full(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.octets >= self.size.max(2 * known.head))
    }

    /// Begins a new file with this head; what was the file is set aside, and the oldest one removed.
    ///
    /// # Errors
    /// What the file system says. The next call tries it again.
    pub fn begin(&mut self, head: &[u8]) -> io::Result<()> {
        self.sync()?;
        let new = self.directory.join(format!("{NAME}.new"));
        let _ = fs::remove_file(&new);
        let mut file = writing().create_new(true).append(true).open(&new)?;
        file.write_all(head)?;
        file.sync_all()?;
        for number in (0..self.keep).rev() {
            if let Err(error) = fs::rename(self.path(number), self.path(number + 1))
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        fs::rename(&new, self.path(0))?;
        // A folder that cannot be synced still has the file.
        let _ = File::open(&self.directory).and_then(|folder| folder.sync_all());
        let (id, octets) = identify(&file)?;
        self.known = Some(Known { id, octets, head: octets, torn: false, dirty: false });
        self.file = Some(file);
        Ok(())
    }

    /// Appends lines, of which each has its end, and takes from `lines` those that were written.
    ///
    /// # Errors
    /// What the file system says; `lines` keeps what was not written, from the first line that is not whole.
    pub fn write(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let (Some(known), Some(file)) = (&mut self.known, &mut self.file) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        while !lines.is_empty() {
            if known.torn {
                file.write_all(b"\n")?;
                (known.torn, known.octets) = (false, known.octets + 1);
            }
            let written = match file.write(lines) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written?,
            };
            known.octets += u64::try_from(written).unwrap_or(u64::MAX);
            known.dirty = true;
            let whole = lines[..written].iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
            lines.drain(..whole);
            // Most likely the disk is full. The line is written again, whole, after a line end.
            known.torn = whole < written;
        }
        Ok(())
    }

    /// Whether something is not on the disk yet.
    pub fn is_dirty(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.dirty)
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&mut self) -> io::Result<()> {
        let path = self.path(0);
        let Some(known) = self.known.as_mut().filter(|known| known.dirty) else { return Ok(()) };
        // Not tried twice: after a failure Linux takes what is not written for written.
        known.dirty = false;
        // Whichever descriptor it is, the whole file is synced (fsync(2)).
        match File::open(path) {
            // It was removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => opened?.sync_data(),
        }
    }

    /// The files that there are, open for reading, newest first. What is renamed later stays as it is here.
    pub fn parts(&self) -> Vec<File> {
        (0..=self.keep).filter_map(|number| File::open(self.path(number)).ok()).collect()
    }
}

/// A file's device and inode, and how many octets it has.
fn identify(file: &File) -> io::Result<((u64, u64), u64)> {
    let metadata = file.metadata()?;
    Ok(((metadata.dev(), metadata.ino()), metadata.len()))
}

/// How a file is opened: never through a symbolic link.
fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Site {
        folder: tempfile::TempDir,
        log: Log,
    }

    fn site(size: u64, keep: u32) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path().join("audit"), &Config { file: true, size, keep });
        Site { folder, log }
    }

    impl Site {
        fn again(&mut self, keep: u32) {
            self.log =
                Log::new(self.log.directory.clone(), &Config { file: true, size: self.log.size, keep });
        }

        fn text(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.folder.path().join("audit").join(name)).ok()
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.log.directory).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }

        fn write(&mut self, text: &str) {
            let mut lines = text.as_bytes().to_vec();
            self.log.write(&mut lines).unwrap();
            assert!(lines.is_empty());
        }
    }

    #[test]
    fn it_is_roots_alone() {
        let mut site = site(100, 2);
        assert_eq!(site.log.open().unwrap(), Opened::Nothing);
        site.log.begin(b"head\n").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&site.log.directory), mode(&site.log.path(0))), (0o700, 0o600));
        assert!(!site.log.is_dirty());
        site.write("one\n");
        assert!(site.log.is_dirty());
        site.log.close();
        site.log.sync().unwrap();
        assert!(!site.log.is_dirty());
        assert!(site.log.write(&mut b"two\n".to_vec()).is_err());
        assert_eq!(site.log.open().unwrap(), Opened::Same);
        site.write("two\n");
        assert_eq!(site.text("audit.log").unwrap(), "head\none\ntwo\n");
    }

    #[test]
    fn no_link_is_followed() {
        let mut site = site(100, 2);
        fs::create_dir(&site.log.directory).unwrap();
        let target = site.folder.path().join("target");
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, site.log.path(0)).unwrap();
        assert!(site.log.open().is_err());
        std::os::unix::fs::symlink(&target, site.log.directory.join("audit.log.new")).unwrap();
        site.log.begin(b"head\n").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_removed() {
        let mut site = site(10, 2);
        site.log.open().unwrap();
        for number in 0..5 {
            site.log.begin(format!("{number}\n").as_bytes()).unwrap();
            assert!(!site.log.is_full());
            site.write("1234567\n");
            assert!(site.log.is_full());
        }
        assert_eq!(site.names(), ["audit.log", "audit.log.1", "audit.log.2"]);
        let heads =
            ["audit.log", "audit.log.1", "audit.log.2"].map(|name| site.text(name).unwrap()[..1].to_owned());
        assert_eq!(heads, ["4", "3", "2"]);
        assert_eq!(site.log.parts().len(), 3);
        site.again(1);
        assert_eq!(site.log.open().unwrap(), Opened::Other);
        assert_eq!(site.names(), ["audit.log", "audit.log.1"]);
        site.again(0);
        site.log.open().unwrap();
        site.log.begin(b"5\n").unwrap();
        assert_eq!(
            (site.names(), site.text("audit.log").unwrap()),
            (vec!["audit.log".to_owned()], "5\n".to_owned())
        );
    }

    #[test]
    fn a_head_leaves_room() {
        let mut site = site(10, 1);
        site.log.open().unwrap();
        site.log.begin(b"a head that is longer than a file may be\n").unwrap();
        assert!(!site.log.is_full());
        site.write("what is written after it, as long as the head is\n");
        assert!(site.log.is_full());
    }

    #[test]
    fn a_torn_end_is_ended() {
        let mut site = site(100, 1);
        site.log.open().unwrap();
        site.log.begin(b"head\n").unwrap();
        OpenOptions::new().append(true).open(site.log.path(0)).unwrap().write_all(b"torn").unwrap();
        site.again(1);
        assert_eq!(site.log.open().unwrap(), Opened::Other);
        site.write("whole\n");
        site.again(1);
        assert_eq!(site.log.open().unwrap(), Opened::Other);
        site.write("more\n");
        assert_eq!(site.text("audit.log").unwrap(), "head\ntorn\nwhole\nmore\n");
    }

    #[test]
    fn one_that_was_removed_is_missed() {
        let mut site = site(100, 1);
        site.log.open().unwrap();
        site.log.begin(b"head\n").unwrap();
        fs::remove_dir_all(&site.log.directory).unwrap();
        site.log.sync().unwrap();
        assert_eq!(site.log.open().unwrap(), Opened::Nothing);
        site.log.begin(b"again\n").unwrap();
        assert_eq!(site.text("audit.log").unwrap(), "again\n");
    }
}

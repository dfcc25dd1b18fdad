//! Reading files that others may have put there: regular ones only, a bounded amount, never blocking on
//! a FIFO.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::{OFlags, fstatfs};

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = open_any(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Opens whatever it is for reading, without waiting for a writer and without passing it on by `exec`
/// (the standard library always sets `O_CLOEXEC`).
pub(crate) fn open_any(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Whether it is some namespace's file: on nsfs, or, before Linux 3.19, on proc.
pub(crate) fn is_namespace(file: &File) -> bool {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    fstatfs(file).is_ok_and(|found| [NSFS_MAGIC, PROC_SUPER_MAGIC].contains(&(found.f_type.cast_unsigned())))
}

/// At most `limit` bytes of a regular file; more is an error.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open(open(path)?, limit)
}

/// At most `limit` bytes of an open file, or of standard input; more is an error.
pub(crate) fn read_open(file: impl io::Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(folder.path(), 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(read(&fifo, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

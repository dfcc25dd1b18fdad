//! Whether standard error goes to the journal: systemd-journald(8), "Stream logging".
//!
//! A line that begins with `<3>` then has the priority 3 (sd-daemon(3)), and the rest is its message; who, when
//! and of which unit the journal knows by itself. The native protocol would add fields that are in the line already.

use std::{ffi::OsStr, io, os::unix::net::UnixStream, path::Path};

/// Where the journal takes lines.
const STREAM: &str = "/run/systemd/journal/stdout";

/// Whether it does. `stream` is `JOURNAL_STREAM`, which systemd sets from version 231 on: device and inode of what
/// it made standard error of. Before, the socket's other end is what tells.
pub fn is_stderr(stream: Option<&OsStr>) -> bool {
    let error = io::stderr();
    if let Some(stream) = stream {
        let found = rustix::fs::fstat(&error).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        return found.is_ok_and(|found| *stream == *found);
    }
    let Ok(copy) = rustix::io::fcntl_dupfd_cloexec(&error, 0) else { return false };
    let other = UnixStream::from(copy).peer_addr();
    other.is_ok_and(|address| address.as_pathname() == Some(Path::new(STREAM)))
}

/// What a line of this level begins with there: syslog(3).
pub fn prefix(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "<3>",
        tracing::Level::WARN => "<4>",
        tracing::Level::INFO => "<6>",
        _ => "<7>",
    }
}

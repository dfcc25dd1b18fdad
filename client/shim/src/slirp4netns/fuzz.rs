//! What a fuzzer feeds: command lines.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
};

use super::options::{self, Order};

/// Reads the data as a command line, its words ended by NUL.
///
/// # Panics
/// What is passed on would ask slirp4netns for IPv6, is not a part of what came, or is read differently.
pub fn slirp4netns(data: &[u8]) {
    let words: Vec<OsString> =
        data.split(|octet| *octet == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let Ok(line) = options::parse(&words, Order::Permuted) else { return };
    let length = |words: &[OsString]| words.iter().map(|word| word.len()).sum::<usize>();
    assert!(length(&line.passed) <= length(&words) && line.passed.len() <= words.len());
    let again = options::parse(&line.passed, Order::Permuted).expect("what is passed on can be read");
    assert_eq!(again.passed, line.passed, "there was something left to drop");
    assert_eq!((again.target, again.tap), (line.target, line.tap));
    assert_eq!(
        (again.ready_fd, again.exit_fd, again.api_socket),
        (line.ready_fd, line.exit_fd, line.api_socket)
    );
}

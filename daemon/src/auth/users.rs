//! What the user database says: passwd(5) and group(5), or whatever nsswitch.conf(5) puts in their place.
//!
//! The kernel knows the groups of a process (SO_PEERGROUPS, Linux 4.13), but a user can drop some of theirs:
//! `unshare --map-auto` and `setgroups` are enough. A rule that forbids something to a group would then not
//! be met. So a user belongs to a group if either says so. A directory service may take its time: nothing
//! here is called on a runtime's worker, and answers are kept for a minute.

use std::{
    collections::HashMap,
    ffi::CString,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    unistd::{Gid, Group, Uid, User, getgrouplist},
};

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(60);
/// How many answers are kept, at most.
const KEPT: usize = 4096;

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The name, if the uid has one.
    pub name: Option<String>,
    /// The groups, the primary one among them.
    pub groups: Vec<u32>,
}

/// The answers of the last minute.
#[derive(Debug, Default)]
pub struct Users(Mutex<HashMap<u32, (Instant, Arc<Entry>)>>);

impl Users {
    /// What was found lately, without asking.
    pub fn remembered(&self, uid: u32) -> Option<Arc<Entry>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&uid).filter(|(found, _)| found.elapsed() < BELIEVED).map(|(_, entry)| Arc::clone(entry))
    }

    /// What was found lately, or is found now. It may take as long as a directory service does.
    ///
    /// # Errors
    /// The database cannot be asked. A uid that it does not know is no error.
    pub fn look_up(&self, uid: u32) -> io::Result<Arc<Entry>> {
        if let Some(entry) = self.remembered(uid) {
            return Ok(entry);
        }
        let entry = Arc::new(ask(uid)?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(uid, (Instant::now(), Arc::clone(&entry)));
        Ok(entry)
    }

    /// Forgets all answers.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn ask(uid: u32) -> io::Result<Entry> {
    let Some(user) = found(User::from_uid(Uid::from_raw(uid)))? else { return Ok(Entry::default()) };
    let name = CString::new(user.name.as_str()).map_err(io::Error::other)?;
    let groups = getgrouplist(&name, user.gid)?;
    Ok(Entry { name: Some(user.name), groups: groups.into_iter().map(Gid::as_raw).collect() })
}

/// getpwnam(3) and its kin: these numbers mean that there is no such entry.
fn found<T>(answer: nix::Result<Option<T>>) -> io::Result<Option<T>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        answer => Ok(answer?),
    }
}

/// The uid of a name, if there is such a user. It may take as long as a directory service does.
///
/// # Errors
/// The database cannot be asked.
pub fn find_uid(name: &str) -> io::Result<Option<u32>> {
    Ok(found(User::from_name(name))?.map(|user| user.uid.as_raw()))
}

/// The same, of a database that can be asked.
pub fn uid(name: &str) -> Option<u32> {
    find_uid(name).ok()?
}

/// The gid of a name, if there is such a group.
pub fn gid(name: &str) -> Option<u32> {
    found(Group::from_name(name)).ok()?.map(|group| group.gid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nobody_else_is_made_up() {
        let users = Users::default();
        assert_eq!(users.remembered(0), None);
        let root = users.look_up(0).unwrap();
        assert_eq!((root.name.as_deref(), root.groups.contains(&0)), (Some("root"), true));
        assert_eq!(users.remembered(0), Some(root));
        users.forget();
        assert_eq!(users.remembered(0), None);
        assert_eq!(*users.look_up(4_000_000_123).unwrap(), Entry::default());
        assert_eq!((uid("root"), uid("no such user"), gid("root"), gid("")), (Some(0), None, Some(0), None));
    }
}

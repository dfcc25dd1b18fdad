//! Names of users, from `/etc/passwd` alone: a directory service that is away must not hold up a list.

use std::{collections::HashMap, fs};

use crate::text;

/// The names there are.
#[derive(Debug, Default)]
pub struct Users(HashMap<u32, String>);

impl Users {
    /// Reads `/etc/passwd`; if that fails, uids stay numbers.
    pub fn load() -> Self {
        Self::parse(&String::from_utf8_lossy(&fs::read("/etc/passwd").unwrap_or_default()))
    }

    /// The lines of a passwd(5). Of several names for a uid the first counts, as for getpwuid(3).
    pub fn parse(passwd: &str) -> Self {
        let mut names = HashMap::new();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                names.entry(uid).or_insert_with(|| text::escape(name));
            }
        }
        Self(names)
    }

    /// The user's name, or the uid.
    pub fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// The uid of a name, or of a number.
    pub fn uid(&self, user: &str) -> Option<u32> {
        let known = self.0.iter().find(|(_, name)| *name == user).map(|(uid, _)| *uid);
        known.or_else(|| user.parse().ok())
    }

    /// "alice (uid 1001)", or "uid 1001".
    pub fn describe(&self, uid: u32) -> String {
        match self.0.get(&uid) {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_passwd() {
        let users =
            Users::parse("root:x:0:0::/root:/bin/sh\ntoor:x:0:0:::\nbad\n+::::::\nbob:x:1001:1001:::\n");
        assert_eq!([users.name(0), users.name(1001), users.name(5)], ["root", "bob", "5"]);
        assert_eq!([users.uid("bob"), users.uid("5"), users.uid("eve")], [Some(1001), Some(5), None]);
        assert_eq!([users.describe(1001), users.describe(5)], ["bob (uid 1001)", "uid 5"]);
    }
}

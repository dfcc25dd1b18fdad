//! The name of a container in containers/storage, without asking podman (which holds the container's lock
//! while it waits for us).
//!
//! `<graphroot>/<driver>-containers/containers.json` lists the containers, `volatile-containers.json`
//! those run with `--rm`. Both are replaced by renaming, so reading needs no lock. Where the graphroot is
//! can only be guessed, but a wrong guess does not hold the id.

use std::{
    ffi::OsString,
    fs,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor},
};

use super::container::World;
use crate::{
    conf::{self, Value},
    files,
};

/// More than tens of thousands of containers take.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Far more than any storage.conf has.
const LARGEST_CONF: u64 = 1024 * 1024;

/// The user whose containers they are, as the host knows them.
#[derive(Debug, Clone)]
pub struct User {
    /// Their uid outside of all user namespaces.
    pub uid: u32,
    /// Their home.
    pub home: Option<PathBuf>,
    /// Their name.
    pub name: Option<OsString>,
}

/// The name of the container `id`; `told` is the graphroot podman itself was given.
pub fn name(world: World<'_>, user: &User, told: Option<PathBuf>, id: &str) -> Option<String> {
    let mut seen: Vec<PathBuf> = Vec::new();
    for graphroot in told.into_iter().chain(graphroots(world, user)) {
        if seen.contains(&graphroot) {
            continue;
        }
        if let Some(name) = name_in(&graphroot, id) {
            return Some(name);
        }
        seen.push(graphroot);
    }
    None
}

/// The places a graphroot can be, likeliest first.
fn graphroots(world: World<'_>, user: &User) -> impl Iterator<Item = PathBuf> {
    let variable = |name| (world.environment)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let under = |variable: Option<PathBuf>, default: &str| {
        variable.or_else(|| user.home.as_ref().map(|home| home.join(default)))
    };
    let own_file = variable("CONTAINERS_STORAGE_CONF").or_else(|| {
        under(variable("XDG_CONFIG_HOME"), ".config").map(|folder| folder.join("containers/storage.conf"))
    });
    let data =
        under(variable("XDG_DATA_HOME"), ".local/share").map(|folder| folder.join("containers/storage"));
    // The system's `graphroot` is root's.
    let mut system_keys = vec!["rootless_storage_path"];
    if user.uid == 0 {
        system_keys = vec!["graphroot"];
    }
    let system = ["etc", "usr/share"].map(|folder| world.root.join(folder).join("containers/storage.conf"));
    let own =
        own_file.and_then(|file| configured(world, user, &file, &["graphroot", "rootless_storage_path"]));
    let system = system.into_iter().find_map(|file| configured(world, user, &file, &system_keys));
    let fallback = (user.uid == 0).then(|| world.root.join("var/lib/containers/storage"));
    own.into_iter().chain(system).chain(data).chain(fallback)
}

/// The first of `keys` that a storage.conf sets in its section `[storage]`.
fn configured(world: World<'_>, user: &User, file: &Path, keys: &[&str]) -> Option<PathBuf> {
    let text = files::read(file, LARGEST_CONF).ok()?;
    let text = String::from_utf8_lossy(&text);
    keys.iter().find_map(|key| {
        let mut entries = conf::entries(&text).flatten();
        let entry = entries.find(|entry| entry.section == "storage" && entry.key == *key)?;
        let Value::Text(path) = entry.value else { return None };
        let path = PathBuf::from(expand(world, user, &path));
        path.is_absolute().then_some(path)
    })
}

/// Replaces `$NAME` and `${NAME}` as containers/storage does: `UID` is the outer one, an unset variable
/// is empty.
fn expand(world: World<'_>, user: &User, text: &str) -> OsString {
    let mut expanded = OsString::new();
    let mut pieces = text.split('$');
    expanded.push(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, rest) = match piece.strip_prefix('{').and_then(|piece| piece.split_once('}')) {
            Some(parts) => parts,
            None => {
                let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                piece.split_at(piece.find(ends).unwrap_or(piece.len()))
            }
        };
        let value = match name {
            "UID" => Some(OsString::from(user.uid.to_string())),
            "HOME" => user.home.clone().map(OsString::from),
            "USER" => user.name.clone(),
            other => (world.environment)(other),
        };
        expanded.push(value.unwrap_or_default());
        expanded.push(rest);
    }
    expanded
}

/// Looks through the lists of every storage driver.
fn name_in(graphroot: &Path, id: &str) -> Option<String> {
    let folders = fs::read_dir(graphroot).ok()?.flatten();
    let folders = folders.filter(|folder| folder.file_name().as_encoded_bytes().ends_with(b"-containers"));
    folders.map(|folder| folder.path()).find_map(|folder| name_in_folder(&folder, id))
}

/// Looks through the lists of one storage driver, `<graphroot>/<driver>-containers`.
pub(crate) fn name_in_folder(folder: &Path, id: &str) -> Option<String> {
    let lists = ["containers.json", "volatile-containers.json"];
    lists.iter().find_map(|list| name_in_list(&folder.join(list), id))
}

/// Reads one list entry by entry, keeping none.
fn name_in_list(list: &Path, id: &str) -> Option<String> {
    let file = files::open(list).ok()?;
    let reader = BufReader::with_capacity(64 * 1024, file.take(LARGEST));
    Search(id).deserialize(&mut serde_json::Deserializer::from_reader(reader)).ok()?
}

/// One container in a list, as far as it matters here.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<String>,
}

/// What podman writes into `metadata`.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<String>,
}

impl Listed {
    fn name(self) -> Option<String> {
        let first = self.names.and_then(|names| names.into_iter().next());
        let noted = || serde_json::from_str::<Metadata>(self.metadata.as_deref()?).ok()?.name;
        first.filter(|name| !name.is_empty()).or_else(noted).filter(|name| !name.is_empty())
    }
}

/// Deserializes a list into the name of one of its entries.
struct Search<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of containers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        // To the end: a list that is cut off somewhere is not believed.
        while let Some(listed) = list.next_element::<Listed>()? {
            if listed.id == self.0 {
                found = listed.name();
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;

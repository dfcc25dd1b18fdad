//! Who the container is that slirp4netns is started for: its id and its name.
//!
//! podman tells slirp4netns neither, but it leaves traces: the name of the log that standard output goes
//! to, the name of the control socket, and, once conmon runs, conmon's arguments. The name comes from the
//! container store (see [`super::storage`]) at every start, so a renamed container gets its new name.
//!
//! The patched podman of the original v6pod says the id in the environment, as `v6pod_id`. That is the last
//! resort, because processes hand an environment down to others that it was not meant for. Its `v6pod_user`
//! is not read: who the user is, the kernel tells the daemon.
//!
//! Everything here is read as the user and can be forged by the user: the daemon takes it for a wish, and
//! for nothing else. Every failure only means to know less.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use super::{
    options::{CommandLine, Target},
    storage::{self, User},
};
use crate::{files, settings::Environment};

/// Bounds for files in /proc: an argument list can be long.
const LARGEST_PROC: u64 = 4 * 1024 * 1024;

/// Logs of slirp4netns instances that many containers share.
const SHARED: [&str; 2] = ["rootless-netns", "rootless-cni"];

/// The container that does the same for podman 3.0 and 3.1.
const SHARED_CONTAINER: &str = "rootless-cni-infra";

/// Where the original v6pod's podman has the container's id.
const HINT: &str = "v6pod_id";

/// The name for what is no container (rootless Docker's one namespace), which nothing else would name.
const NAME: &str = "V6POD_NAME";

/// Where to look; made up in tests.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// "/", which holds `proc`, `etc` and `usr`.
    pub root: &'a Path,
    /// The process' environment.
    pub environment: Environment<'a>,
}

/// What slirp4netns is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Several containers behind one namespace: an address of its own would be of no container.
    Shared,
    /// One container, or something that is none (rootlesskit): then there is no id, and only a name if
    /// somebody has given it one.
    Container {
        /// The container's id.
        id: String,
        /// The container's name.
        name: String,
    },
}

/// Finds out.
pub fn find(world: World<'_>, line: &CommandLine) -> Who {
    let log = log_name(world);
    if log.as_deref().is_some_and(|log| SHARED.contains(&log)) {
        return Who::Shared;
    }
    let traced =
        log.filter(|log| is_podman_id(log)).or_else(|| line.api_socket.as_deref().and_then(socket_id));
    let conmon = match line.target {
        Target::Pid(pid) => conmon(world, pid),
        Target::Path(_) => None,
    };
    let (conmon_id, conmon_name) = conmon.unwrap_or_default();
    let id = traced
        .or_else(|| Some(conmon_id.clone()).filter(|id| !id.is_empty()))
        .or_else(|| hint(world))
        .unwrap_or_default();
    if id.is_empty() {
        let name = (world.environment)(NAME).and_then(|name| name.into_string().ok());
        return Who::Container { id, name: name.unwrap_or_default() };
    }
    let name =
        stored_name(world, &id).or_else(|| (id == conmon_id).then_some(conmon_name)).unwrap_or_default();
    if name == SHARED_CONTAINER { Who::Shared } else { Who::Container { id, name } }
}

/// The middle of `.../slirp4netns-MIDDLE.log (deleted)`, where standard output goes. podman unlinks the
/// log as soon as it is open; the link in /proc keeps the name.
fn log_name(world: World<'_>) -> Option<String> {
    let path = fs::read_link(world.root.join("proc/self/fd/1")).ok()?;
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    Some(name.strip_prefix("slirp4netns-")?.strip_suffix(".log")?.to_owned())
}

/// The id in the name of podman's control socket, `.../ID.net`.
fn socket_id(path: &Path) -> Option<String> {
    let id = path.file_name()?.to_str()?.strip_suffix(".net")?;
    is_podman_id(id).then(|| id.to_owned())
}

fn is_podman_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the contract allows as an id; other engines that use conmon have other forms.
fn is_container_id(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.len() <= 128 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// The id that the patched podman says.
fn hint(world: World<'_>) -> Option<String> {
    (world.environment)(HINT)?.into_string().ok().filter(|id| is_container_id(id))
}

/// Id and name from the arguments of conmon, the parent of the container's process.
fn conmon(world: World<'_>, pid: u32) -> Option<(String, String)> {
    let parent = status_field(world, &pid.to_string(), "PPid:")?;
    let arguments = command_line(world, &parent)?;
    if Path::new(arguments.first()?).file_name()? != "conmon" {
        return None;
    }
    let text = |options: [&str; 2]| {
        options.iter().find_map(|option| value_of(&arguments, option))?.to_str().map(str::to_owned)
    };
    let id = text(["-c", "--cid"]).filter(|id| is_container_id(id))?;
    Some((id, text(["-n", "--name"]).unwrap_or_default()))
}

/// The name in the store, which is where podman's own command line or the user's configuration has it.
fn stored_name(world: World<'_>, id: &str) -> Option<String> {
    let parent = status_field(world, "self", "PPid:").and_then(|parent| command_line(world, &parent));
    let told = parent.as_deref().and_then(|arguments| value_of(arguments, "--root"));
    let user = user(world)?;
    storage::name(world, &user, told.map(PathBuf::from), id)
}

/// The user who runs this, as the host knows them.
fn user(world: World<'_>) -> Option<User> {
    let inside: u32 = status_field(world, "self", "Uid:")?.parse().ok()?;
    let map = files::read(&world.root.join("proc/self/uid_map"), LARGEST_PROC).ok()?;
    let uid = outer_uid(&String::from_utf8_lossy(&map), inside)?;
    let variable = |name| (world.environment)(name).filter(|value| !value.is_empty());
    let listed = passwd(world, uid);
    let home = variable("HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(&listed.as_ref()?.1)));
    let name = variable("USER").or_else(|| Some(listed?.0));
    Some(User { uid, home: home.filter(|home| home.is_absolute()), name })
}

/// The uid outside of the user namespace, by its map of "inside outside count".
fn outer_uid(map: &str, inside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().filter_map(|field| field.parse::<u32>().ok());
        let (first, outer, count) = (fields.next()?, fields.next()?, fields.next()?);
        let offset = inside.checked_sub(first).filter(|&offset| offset < count)?;
        outer.checked_add(offset)
    })
}

/// Name and home of a uid.
fn passwd(world: World<'_>, uid: u32) -> Option<(OsString, OsString)> {
    let file = files::read(&world.root.join("etc/passwd"), LARGEST_PROC).ok()?;
    let uid = uid.to_string();
    file.split(|&byte| byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let text = |at: usize| fields.get(at).map(|field| OsStr::from_bytes(field).to_owned());
        (*fields.get(2)? == uid.as_bytes()).then(|| Some((text(0)?, text(5)?)))?
    })
}

/// The first word of a line in `/proc/PID/status`.
fn status_field(world: World<'_>, pid: &str, field: &str) -> Option<String> {
    let path = world.root.join("proc").join(pid).join("status");
    let text = files::read(&path, LARGEST_PROC).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}

fn command_line(world: World<'_>, pid: &str) -> Option<Vec<OsString>> {
    let path = world.root.join("proc").join(pid).join("cmdline");
    let bytes = files::read(&path, LARGEST_PROC).ok()?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    Some(bytes.split(|&byte| byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect())
}

/// What follows an option, as `OPTION VALUE` or `OPTION=VALUE`; the first one counts.
fn value_of<'a>(arguments: &'a [OsString], option: &str) -> Option<&'a OsStr> {
    let at = arguments.iter().position(|argument| {
        let rest = argument.as_bytes().strip_prefix(option.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    })?;
    match arguments[at].as_bytes().get(option.len() + 1..) {
        Some(value) => Some(OsStr::from_bytes(value)),
        None => arguments.get(at + 1).map(OsString::as_os_str),
    }
}

#[cfg(test)]
mod tests;

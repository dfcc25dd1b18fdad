//! What a daemon leaves in files, and in Consul.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::Runtime;

use super::{Done, Found, Task};
use crate::{
    audit::{Audit, Reason},
    config::Config,
    registry::{Instance, consul},
};

/// Why the state stays.
pub const AGAIN: &str = "what failed needs it: run this again";
/// What of the state directory is ours, beside the audit; the lock is last.
const FILES: [&str; 8] =
    ["attachments", "guard", "instance", "key", "prefix", "sysctls.json", "version", "lock"];
/// How long the audit's thread may take.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The folder that the daemon makes for its socket unless it is told otherwise.
const RUN: &str = "/run/v6pod";

/// The daemon's own, if it ever had one.
pub fn instance(config: &Config) -> Option<Instance> {
    fs::read_to_string(config.state_dir.join("instance")).ok()?.trim().parse().ok()
}

/// Names in Consul.
pub struct Names {
    runtime: Option<Runtime>,
    remains: Result<Option<consul::Remains>, String>,
}

impl Names {
    /// Asks the agent for them, if there is one that could have any.
    pub fn find(config: &Config) -> Self {
        let wanted = config.registry.consul.as_ref().zip(instance(config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        let remains = match (&runtime, wanted) {
            (Some(runtime), Some((consul, instance))) => {
                runtime.block_on(consul::Remains::find(consul, instance)).map(Some)
            }
            (None, Some(_)) => Err("there is no runtime to ask the agent with".to_owned()),
            (_, None) => Ok(None),
        };
        Self { runtime, remains }
    }

    /// Their removal.
    pub fn tasks(&self) -> Vec<Task<'_>> {
        let (remains, runtime) = match (&self.remains, &self.runtime) {
            (Ok(Some(remains)), Some(runtime)) => (remains, runtime),
            (Err(error), _) => {
                let detail = format!("{error}: names of ours may be left there");
                return vec![Task::tell("names", "Consul", Done::Failed, detail)];
            }
            _ => return Vec::new(),
        };
        let task = |(id, name): &'_ (_, String)| {
            let id = *id;
            Task::remove("name", name, move || runtime.block_on(remains.forget(id)))
        };
        remains.names.iter().map(task).collect()
    }
}

/// What there is while a daemon runs: the socket, and in the audit that attachments last.
pub fn runtime<'a>(found: &Found<'a>, was_at_work: bool) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let socket = &found.config.socket.path;
    let new = socket.with_extension("new");
    for path in [socket.clone(), new] {
        if is_socket(&path) {
            let remove = move || {
                fs::remove_file(&path).map_err(|error| error.to_string())?;
                // Somebody else's files keep it.
                let _ = path.parent().filter(|folder| *folder == Path::new(RUN)).map(fs::remove_dir);
                Ok(())
            };
            tasks.push(Task::remove("socket", socket.display().to_string(), remove));
        }
    }
    let audit = found.config.state_dir.join("audit");
    if found.options.purge || !audit.exists() {
        return tasks;
    }
    let path = audit.display().to_string();
    if !was_at_work {
        tasks.push(Task::tell("audit", path, Done::Kept, "--purge removes it"));
        return tasks;
    }
    let (config, boot, attachments) = (found.config, found.boot, &found.remains.attachments);
    let write = move || {
        let ended: Vec<_> = attachments.iter().map(|one| (one.clone(), Reason::Administrator)).collect();
        let log = Audit::start(&config.audit, audit, boot).map_err(|error| error.to_string())?;
        log.reconciled(&[], &ended, Vec::new);
        match (log.close(LAST_WORDS), log.status().error) {
            (true, None) => Ok(()),
            (_, error) => Err(error.unwrap_or_else(|| "it could not be written to its end".to_owned())),
        }
    };
    let task =
        Task::remove("audit", path, write).with("who had which address, now to the end; --purge removes it");
    tasks.push(Task { done: Done::Kept, ..task });
    tasks
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// The state directory: the audit if that is asked for, and all else of ours.
pub fn directory<'a>(found: &Found<'a>) -> Vec<Task<'a>> {
    let directory = &found.config.state_dir;
    let audit = directory.join("audit");
    let mut tasks = Vec::new();
    if found.options.purge && audit.exists() {
        let object = audit.display().to_string();
        tasks.push(Task::remove("audit", object, move || purge(&audit).map_err(|error| error.to_string())));
    }
    let present: Vec<PathBuf> = FILES
        .iter()
        .flat_map(|name| [directory.join(name), directory.join(name).with_extension("new")])
        .filter(|path| fs::symlink_metadata(path).is_ok())
        .collect();
    if present.iter().all(|path| path.ends_with("lock")) {
        // Taken by this run, where there was nothing else.
        if !found.options.dry_run {
            let _ = fs::remove_file(directory.join("lock"));
        }
        return tasks;
    }
    let names = present.iter().filter_map(|path| path.file_name()?.to_str()).collect::<Vec<_>>().join(", ");
    let remove = move || {
        for path in present {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        // Somebody else's files keep it, and so does the audit.
        let _ = fs::remove_dir(directory);
        Ok(())
    };
    tasks.push(Task::remove("state", directory.display().to_string(), remove).with(names));
    tasks
}

/// The audit's files, and nothing else that somebody has put there.
fn purge(audit: &Path) -> io::Result<()> {
    for entry in fs::read_dir(audit)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("audit.log") {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(audit)
}

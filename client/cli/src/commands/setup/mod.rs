//! `v6pod setup`: the few lines of configuration that each way in needs.
//!
//! One file for each target says which files it wants and what is in them, and nothing else; `plan` compares
//! that with what is there and writes it, `scope` says where and with whose rights. Everything is read and
//! checked before the first file is touched. Nothing of anybody else's is overwritten, and `--undo` removes
//! what was written and nothing more.
//!
//! The daemon is not asked for anything.

mod block;
mod docker;
mod error;
mod hook;
mod plan;
mod podman;
mod scope;

use std::{env, fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde::Serialize;
use v6pod_client::slirp4netns::real;

pub use self::error::Error;
use self::{
    plan::{Change, Done, Step},
    podman::Podman,
    scope::Scope,
};
use crate::{
    args::{Setup, Target},
    output::{Output, note},
    text,
};

/// The stand-in for slirp4netns.
const WRAPPER: &str = "/usr/libexec/v6pod/slirp4netns";

/// The OCI hook.
const HOOK: &str = "/usr/libexec/v6pod/v6pod-hook";

/// What a target wants.
struct Wanted {
    /// The files.
    changes: Vec<Change>,
    /// What to type next; after an undo, what that needs to count.
    next: Vec<String>,
    /// What is missing for it to work.
    notes: Vec<String>,
}

/// Sets up one way in, or removes what that wrote.
pub fn run(setup: &Setup, output: &mut Output) -> Result<u8, crate::error::Error> {
    let scope = Scope::find(setup.user.as_deref())?;
    let podman = Podman::find();
    let (mut wanted, done) = scope.run(|| -> Result<_, Error> {
        let wanted = match setup.target {
            Target::Podman => podman::wanted(&scope, podman, setup.undo),
            Target::Hook => hook::wanted(&scope, podman, setup.undo),
            Target::Docker => docker::wanted(&scope, setup.undo),
        }?;
        let steps: Vec<Step> = wanted
            .changes
            .iter()
            .map(|change| if setup.undo { change.undo() } else { change.setup() })
            .collect::<Result<_, _>>()?;
        if !setup.dry_run {
            steps.iter().try_for_each(|step| step.act(&scope))?;
        }
        Ok((wanted, steps))
    })??;
    if setup.undo {
        wanted.notes.clear();
    } else {
        wanted.notes.extend(programs(setup.target));
    }
    let report = Report {
        target: setup.target.name(),
        user: scope.user(),
        undo: setup.undo,
        dry_run: setup.dry_run,
        files: done.iter().filter_map(|step| File::of(step, setup.dry_run)).collect(),
        next: &wanted.next,
        notes: &wanted.notes,
    };
    if output.json {
        output.document(&report)?;
    } else {
        output.text(&report.text())?;
        wanted.notes.iter().for_each(|line| note(&text::escape(&format!("v6pod: note: {line}"))));
    }
    Ok(0)
}

/// A file, or a target of which not even the files are known, and how its removal went.
pub type Undone = (String, Result<(), String>);

/// Removes what setup wrote for every user of this host, whatever it was for: which files, and what went wrong.
pub fn undo_all(dry_run: bool) -> Result<Vec<Undone>, crate::error::Error> {
    let scope = Scope::find(None)?;
    let podman = Podman::find();
    let wanted = [
        ("podman", podman::wanted(&scope, podman, true)),
        ("hook", hook::wanted(&scope, podman, true)),
        ("docker", docker::wanted(&scope, true)),
    ];
    let mut undone = Vec::new();
    for (target, wanted) in wanted {
        let changes = match wanted {
            Ok(wanted) => wanted.changes,
            Err(error) => {
                undone.push((target.to_owned(), Err(error.to_string())));
                continue;
            }
        };
        for change in changes {
            match change.undo() {
                Ok(step) if step.done == Done::Absent => {}
                Ok(step) => {
                    let done =
                        if dry_run { Ok(()) } else { step.act(&scope).map_err(|error| error.to_string()) };
                    undone.push((step.path.display().to_string(), done));
                }
                Err(error) => undone.push((target.to_owned(), Err(error.to_string()))),
            }
        }
    }
    Ok(undone)
}

/// What is missing of the programs that the written lines name.
fn programs(target: Target) -> Vec<String> {
    let mut notes = Vec::new();
    let program = if target == Target::Hook { HOOK } else { WRAPPER };
    if !is_program(Path::new(program)) {
        notes.push(format!("{program} is not there: containers will not start as they should until it is"));
    }
    let own = fs::metadata(WRAPPER).ok();
    if target != Target::Hook && real::find(None, own.as_ref(), &|name| env::var_os(name)).is_err() {
        notes.push("there is no slirp4netns on this host: install it, v6pod only adds to it".to_owned());
    }
    notes
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// What was done, for people and for scripts.
#[derive(Serialize)]
struct Report<'a> {
    target: &'static str,
    /// Whose configuration it is; absent: everybody's.
    user: Option<&'a str>,
    undo: bool,
    dry_run: bool,
    files: Vec<File<'a>>,
    next: &'a [String],
    notes: &'a [String],
}

/// One file of a report.
#[derive(Serialize)]
struct File<'a> {
    path: String,
    #[serde(skip)]
    done: Done,
    #[serde(rename = "done")]
    told: &'static str,
    /// The lines that are in it now.
    lines: Option<&'a str>,
}

impl<'a> File<'a> {
    /// Nothing is said of files that never were there.
    fn of(step: &'a Step, dry_run: bool) -> Option<Self> {
        let path = step.path.display().to_string();
        let (done, lines) = (step.done, step.lines.as_deref());
        (done != Done::Absent).then_some(Self { path, done, told: done.word(dry_run), lines })
    }
}

impl Report<'_> {
    fn text(&self) -> String {
        let whose = match self.user {
            Some(user) => format!("for {user}"),
            None => "for every user of this host".to_owned(),
        };
        let mut lines = vec![format!("{}, {whose}:", self.target)];
        if self.files.is_empty() {
            lines.push(format!("  there is nothing to {}", if self.undo { "undo" } else { "do" }));
        }
        for file in &self.files {
            lines.push(format!("  {} {}", file.done.words(self.dry_run), file.path));
            let shown = file.lines.filter(|_| file.done != Done::Unchanged).unwrap_or_default();
            lines.extend(shown.lines().map(|line| format!("      {line}")));
        }
        let changed = self.files.iter().any(|file| file.done != Done::Unchanged);
        if !self.dry_run && (changed || !self.undo) && !self.next.is_empty() {
            lines.push("next:".to_owned());
            lines.extend(self.next.iter().map(|line| format!("  {line}")));
        }
        lines.iter().map(|line| text::escape(line) + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_done_and_what_to_type() {
        let next = ["v6pod list".to_owned()];
        let mut report = Report {
            target: "podman",
            user: Some("ann"),
            undo: false,
            dry_run: false,
            files: vec![File {
                path: "/h/v6pod.conf".to_owned(),
                done: Done::Written,
                told: "written",
                lines: Some("[a]\nb = 1\n"),
            }],
            next: &next,
            notes: &[],
        };
        let expected =
            "podman, for ann:\n  wrote /h/v6pod.conf\n      [a]\n      b = 1\nnext:\n  v6pod list\n";
        assert_eq!(report.text(), expected);
        report.dry_run = true;
        assert!(report.text().ends_with("  would write /h/v6pod.conf\n      [a]\n      b = 1\n"));
        let nothing = Report { user: None, undo: true, dry_run: false, files: Vec::new(), ..report };
        assert_eq!(nothing.text(), "podman, for every user of this host:\n  there is nothing to undo\n");
    }

    #[test]
    fn what_cannot_be_executed_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("slirp4netns");
        fs::write(&file, "").unwrap();
        assert!(!is_program(&file) && !is_program(folder.path()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_program(&file));
    }
}

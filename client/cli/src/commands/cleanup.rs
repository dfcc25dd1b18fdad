//! `v6pod cleanup --all`: the host as it was before v6podd was first started.
//!
//! The daemon's program does the work (`v6podd --cleanup`), because it knows what there is to undo, and says
//! of each thing what became of it; the files that `v6pod setup` wrote for every user are undone here.

use std::{path::Path, process::Command};

use serde::{Deserialize, Serialize};

use super::setup;
use crate::{
    args::Cleanup,
    error::{Error, FAILED},
    output::{Output, Tone, View, note},
    table::{Cell, Column, Table},
    text,
};

/// Where the daemon's program is: a package's place, then a hand-made installation's.
const PROGRAMS: [&str; 2] = ["/usr/sbin/v6podd", "/usr/local/sbin/v6podd"];

const COLUMNS: [Column; 4] = [
    Column::new("WHAT"),
    Column::new("WHICH"),
    Column::new("DONE"),
    Column::new("DETAIL").cut_to(10).optional(1),
];

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    /// It is gone.
    Removed,
    /// It is as it was.
    Restored,
    /// It stays, on purpose.
    Kept,
    /// It stays, and should not.
    Failed,
}

impl Done {
    fn words(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Removed, false) => "removed",
            (Self::Removed, true) => "would remove",
            (Self::Restored, false) => "restored",
            (Self::Restored, true) => "would restore",
            (Self::Kept, _) => "kept",
            (Self::Failed, false) => "failed",
            (Self::Failed, true) => "would fail",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Deserialize)]
struct Item {
    kind: String,
    object: String,
    done: Done,
    detail: String,
}

#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    items: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    kind: &'a str,
    object: &'a str,
    done: &'static str,
    detail: &'a str,
}

impl<'a> Report<'a> {
    fn new(items: &'a [Item], dry_run: bool) -> Self {
        let told = |Item { kind, object, done, detail }: &'a Item| Told {
            kind,
            object,
            done: done.words(dry_run),
            detail,
        };
        Self { dry_run, items: items.iter().map(told).collect() }
    }
}

/// Cleans up, or says what would be.
pub fn run(asked: &Cleanup, output: &mut Output) -> Result<u8, Error> {
    let mut items = daemon(asked)?;
    items.extend(configuration(asked.dry_run)?);
    if output.json {
        output.document(&Report::new(&items, asked.dry_run))?;
    } else if items.is_empty() {
        note("there is nothing of v6pod's on this host");
    } else {
        output.text(&render(&items, asked.dry_run, &output.view))?;
    }
    let failures = failures(&items, asked.dry_run);
    failures.iter().for_each(|line| note(line));
    Ok(if failures.is_empty() { 0 } else { FAILED })
}

/// What failed and why, a line each: in a list that is cut to the terminal the reason may be lost.
fn failures(items: &[Item], dry_run: bool) -> Vec<String> {
    let verb = if dry_run { "would not" } else { "could not" };
    let failed = items.iter().filter(|item| item.done == Done::Failed);
    let line = |Item { kind, object, detail, .. }: &Item| {
        text::escape(&format!("v6pod: {kind} {object} {verb} be cleaned up: {detail}"))
    };
    failed.map(line).collect()
}

fn daemon(asked: &Cleanup) -> Result<Vec<Item>, Error> {
    let program = PROGRAMS.iter().find(|program| Path::new(program).exists()).ok_or(Error::NoDaemon)?;
    let mut command = Command::new(program);
    command.arg("--cleanup").arg("--config").arg(&asked.config);
    command.args(asked.dry_run.then_some("--dry-run")).args(asked.purge.then_some("--purge"));
    let output = command.output().map_err(|source| Error::Run { command: (*program).to_owned(), source })?;
    let items: Option<Vec<Item>> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).ok()).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    match items {
        // What failed is in the list.
        Some(items) if output.status.success() || items.iter().any(|item| item.done == Done::Failed) => {
            Ok(items)
        }
        _ => Err(Error::Cleanup(match said.trim().lines().last() {
            Some(line) => line.trim_start_matches("v6podd: ").to_owned(),
            None => format!("{program} --cleanup: {}", output.status),
        })),
    }
}

/// What `v6pod setup` wrote for every user of this host. With the programs gone, no container would start.
fn configuration(dry_run: bool) -> Result<Vec<Item>, Error> {
    let undone = setup::undo_all(dry_run)?;
    let item = |(object, outcome): setup::Undone| {
        let (done, detail) = match outcome {
            Ok(()) => (Done::Removed, "what v6pod setup wrote there".to_owned()),
            Err(error) => (Done::Failed, error),
        };
        Item { kind: "setup".to_owned(), object, done, detail }
    };
    Ok(undone.into_iter().map(item).collect())
}

fn render(items: &[Item], dry_run: bool, view: &View) -> String {
    let mut table = Table::new(COLUMNS);
    for item in items {
        let tone = if item.done == Done::Failed { Tone::Red } else { Tone::Plain };
        table.push([
            text::escape(&item.kind).into(),
            text::escape(&item.object).into(),
            Cell::new(item.done.words(dry_run).to_owned(), tone),
            text::or_none(&item.detail).into(),
        ]);
    }
    table.render(view, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        let lines = [
            r#"{"kind":"link","object":"v6p0123456789ab","done":"removed","detail":"2001:db8::7 of uid 1001"}"#,
            r#"{"kind":"names","object":"Consul","done":"failed","detail":"\u001b[31maway"}"#,
            r#"{"kind":"socket","object":"/run/v6pod/v6pod.sock","done":"removed","detail":""}"#,
        ];
        lines.map(|line| serde_json::from_str(line).unwrap()).into()
    }

    #[test]
    fn a_line_for_each_thing() {
        let expected = "\
WHAT    WHICH                  DONE     DETAIL
link    v6p0123456789ab        removed  2001:db8::7 of uid 1001
names   Consul                 failed   \\u{1b}[31maway
socket  /run/v6pod/v6pod.sock  removed  -
";
        assert_eq!(render(&items(), false, &View::of(None, false, 0)), expected);
        let json = |dry_run| serde_json::to_value(Report::new(&items(), dry_run)).unwrap();
        assert_eq!(json(false)["items"][0]["done"], "removed");
        assert_eq!(json(true)["items"][0]["done"], "would remove");
        let failures = failures(&items(), false);
        assert_eq!(failures, ["v6pod: names Consul could not be cleaned up: \\u{1b}[31maway"]);
        let dry = render(&items(), true, &View::of(None, false, 0));
        assert!(dry.contains("  would remove  ") && dry.contains("  would fail  "), "{dry}");
    }
}

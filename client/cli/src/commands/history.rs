//! `v6pod history`.

use std::path::Path;

use prost_types::Timestamp;
use v6pod_proto::v1::{Attachment, HistoryEntry, HistoryRequest, HistoryResponse, history_request::Target};

use super::short;
use crate::{
    args::History,
    daemon::Daemon,
    error::Error,
    json,
    output::{Output, Tone, View, note},
    table::{Cell, Column, Table},
    text,
    users::Users,
};

/// What a DNS label, and so a name, has at most.
const LABEL: usize = 63;

/// The domains of the registries, unless they are configured otherwise.
const DOMAINS: [&str; 3] = [".v6pod", ".service.consul", ".node.consul"];

const COLUMNS: [Column; 9] = [
    Column::new("ADDRESS"),
    Column::new("START"),
    Column::new("END").optional(4),
    Column::new("USER"),
    Column::new("NAME").cut_to(12).optional(1),
    Column::new("CONTAINER").optional(2),
    Column::new("WHY").optional(5),
    Column::new("NETWORK").optional(6),
    Column::new("CLOCK").optional(3),
];

/// Shows who had which address when.
pub async fn run(socket: &Path, asked: &History, output: &mut Output) -> Result<u8, Error> {
    let daemon = Daemon::connect(socket, Vec::new()).await?;
    let mut answer = HistoryResponse::default();
    let mut targets = targets(asked.what.as_deref());
    if let Some(host) = asked.what.as_deref().filter(|what| what.contains('.') && !what.contains(':')) {
        let label = label(host, &daemon.list().await?.attachments);
        targets.extend(label.map(|label| Some(Target::Name(label))));
    }
    for target in targets {
        answer = daemon.history(request(target, asked)).await?;
        if !answer.entries.is_empty() {
            break;
        }
    }
    if output.json {
        output.document(&json::History::from(&answer))?;
    } else if !answer.entries.is_empty() {
        output.text(&render(&answer.entries, &Users::load(), &output.view))?;
    }
    let reach = reach(answer.since.as_ref());
    if answer.entries.is_empty() {
        return Err(Error::NoHistory { what: asked.what.clone(), reach });
    }
    if answer.more {
        note(&format!("there are more than {}: --limit shows up to 1000, --at picks a time", asked.limit));
    }
    if asked
        .at
        .is_some_and(|at| answer.since.is_none_or(|since| Timestamp::from(at.from).seconds < since.seconds))
    {
        note(&reach);
    }
    Ok(0)
}

fn request(target: Option<Target>, asked: &History) -> HistoryRequest {
    HistoryRequest {
        target,
        from: asked.at.map(|at| at.from.into()),
        until: asked.at.map(|at| at.until.into()),
        limit: asked.limit,
    }
}

/// What may be meant, the likeliest first.
fn targets(what: Option<&str>) -> Vec<Option<Target>> {
    let Some(what) = what else { return vec![None] };
    if what.contains(':') {
        return vec![Some(Target::Address(what.to_owned()))];
    }
    let uid = what.parse().ok().map(Target::Uid);
    let name = (what.len() <= LABEL).then(|| Target::Name(what.to_owned()));
    // The daemon takes 4 or more characters of it.
    let container = (what.len() >= 4).then(|| Target::ContainerId(what.to_owned()));
    [uid, name, container].into_iter().flatten().map(Some).collect()
}

/// The container's name in a host name, by the domains that are known: those of the registries as they come, and
/// those that the caller's attachments are published in.
fn label(host: &str, attachments: &[Attachment]) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let domains = attachments.iter().flat_map(|attachment| {
        attachment.published.iter().filter_map(|full| full.strip_prefix(&attachment.name))
    });
    let label = |domain: &str| host.strip_suffix(domain).filter(|_| domain.starts_with('.'));
    let label = DOMAINS.into_iter().chain(domains).find_map(label)?;
    (!label.is_empty() && !label.contains('.')).then(|| label.to_owned())
}

/// How far back the answer reaches.
fn reach(since: Option<&Timestamp>) -> String {
    match since {
        Some(since) => format!("the audit reaches back to {}", Timestamp { nanos: 0, ..*since }),
        None => "v6podd keeps no file: it knows only what lasts, and the journal has the rest".to_owned(),
    }
}

/// The table: where that is too wide for the terminal, with short times.
fn render(entries: &[HistoryEntry], users: &Users, view: &View) -> String {
    let steady = entries.iter().all(|entry| entry.clock_stepped == 0);
    let hidden = |title: &str| title == "CLOCK" && steady;
    let full = table(entries, users, &time);
    if full.fits(view, hidden) {
        return full.render(view, hidden);
    }
    let now = text::date(view.now);
    table(entries, users, &|time| short_time(time, &now)).render(view, hidden)
}

/// How a time is written.
type Written<'a> = &'a dyn Fn(Option<&Timestamp>) -> String;

fn table(entries: &[HistoryEntry], users: &Users, time: Written<'_>) -> Table<9> {
    let mut table = Table::new(COLUMNS);
    for entry in entries {
        table.push([
            text::escape(&entry.address).into(),
            time(entry.start.as_ref()).into(),
            end(entry, time),
            users.name(entry.uid).into(),
            text::or_none(&entry.name).into(),
            short(&entry.container_id).into(),
            if entry.end.is_some() { json::reason(entry.reason) } else { text::NONE.to_owned() }.into(),
            text::or_none(&entry.network).into(),
            clock(entry.clock_stepped),
        ]);
    }
    table
}

/// When it ended. "by": at that time or before.
fn end(entry: &HistoryEntry, time: Written<'_>) -> Cell {
    match &entry.end {
        None => Cell::new("alive".to_owned(), Tone::Bold),
        Some(end) if entry.approximate => Cell::new(format!("by {}", time(Some(end))), Tone::Yellow),
        Some(end) => time(Some(end)).into(),
    }
}

/// RFC 3339 in UTC, whole seconds.
fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| text::NONE.to_owned(), |time| Timestamp { nanos: 0, ..*time }.to_string())
}

/// The minute in UTC, "11-18 11:06"; "2025-11-18 11:06" in another year than the one it is `now`.
fn short_time(then: Option<&Timestamp>, now: &str) -> String {
    let full = time(then);
    let from = if full.get(..5) == now.get(..5) { 5 } else { 0 };
    // A year of more than four digits is nobody's, and left as it is.
    full.get(from..16).filter(|_| full.len() == 20).map_or(full.clone(), |short| short.replace('T', " "))
}

/// By how much the host's clock was set meanwhile.
fn clock(seconds: i64) -> Cell {
    match seconds {
        0 => text::NONE.to_owned().into(),
        seconds => Cell::new(format!("{seconds:+}s"), Tone::Yellow),
    }
}

#[cfg(test)]
mod tests {
    use v6pod_proto::v1::history_entry::Reason;

    use super::*;

    fn entries() -> Vec<HistoryEntry> {
        let alive = HistoryEntry {
            id: "0123456789ab".to_owned(),
            uid: 1001,
            container_id: "c0ffee0123456789".to_owned(),
            name: "web".to_owned(),
            address: "2001:db8::242:ac11:2".to_owned(),
            mac: "02:42:ac:11:00:02".to_owned(),
            network: "default".to_owned(),
            start: Some(Timestamp { seconds: 800, nanos: 5 }),
            ..Default::default()
        };
        let ended = HistoryEntry {
            end: Some(Timestamp { seconds: 700, nanos: 999 }),
            reason: Reason::Lease.into(),
            ..alive.clone()
        };
        let missed = HistoryEntry {
            reason: Reason::Gone.into(),
            approximate: true,
            name: String::new(),
            ..ended.clone()
        };
        vec![alive, ended, missed]
    }

    fn users() -> Users {
        Users::parse("alice:x:1001:1001:::\n")
    }

    #[test]
    fn who_had_it_when() {
        let expected = "\
ADDRESS               START                 END                      USER   NAME  CONTAINER     WHY    NETWORK
2001:db8::242:ac11:2  1970-01-01T00:13:20Z  alive                    alice  web   c0ffee012345  -      default
2001:db8::242:ac11:2  1970-01-01T00:13:20Z  1970-01-01T00:11:40Z     alice  web   c0ffee012345  lease  default
2001:db8::242:ac11:2  1970-01-01T00:13:20Z  by 1970-01-01T00:11:40Z  alice  -     c0ffee012345  gone   default
";
        assert_eq!(render(&entries(), &users(), &View::of(None, false, 0)), expected);
        let mut entries = entries();
        entries[0].clock_stepped = -3600;
        let table = render(&entries, &users(), &View::of(None, true, 0));
        assert!(table.contains("CLOCK") && table.contains("\x1b[33m-3600s\x1b[0m\n"), "{table}");
    }

    #[test]
    fn a_terminal_has_the_user_and_the_times() {
        let at = |width| render(&entries(), &users(), &View::of(Some(width), false, 0));
        let expected = "\
ADDRESS               START        END             USER   NAME  CONTAINER
2001:db8::242:ac11:2  01-01 00:13  alive           alice  web   c0ffee012345
2001:db8::242:ac11:2  01-01 00:13  01-01 00:11     alice  web   c0ffee012345
2001:db8::242:ac11:2  01-01 00:13  by 01-01 00:11  alice  -     c0ffee012345
";
        assert_eq!(at(80), expected);
        assert!((51..140).all(|width| at(width).lines().all(|line| line.chars().count() <= width)));
        assert!(at(140).contains("  by 1970-01-01T00:11:40Z  "), "what fits is not shortened");
    }

    #[test]
    fn of_a_long_address_the_end_goes_before_the_name_and_the_user_stays_whole() {
        let mut entries = entries();
        for entry in &mut entries {
            entry.address = "2001:db8:1:2:3:ce60:7619:8994".to_owned();
            entry.name = "a-name-that-is-rather-long".to_owned();
        }
        let users = Users::parse("alexandria-the-elder:x:1001:1001:::\n");
        let table = render(&entries, &users, &View::of(Some(80), false, 0));
        let line = "2001:db8:1:2:3:ce60:7619:8994  01-01 00:13  alexandria-the-elder  a-name-that-i…\n";
        assert!(table.contains(line), "{table}");
        let users = Users::parse("al:x:1001:1001:::\n");
        let table = render(&entries, &users, &View::of(Some(80), false, 0));
        assert!(table.contains("  01-01 00:13  al    a-name-that-is-…  c0ffee012345\n"), "{table}");
    }

    #[test]
    fn another_year_is_said() {
        let then = Timestamp { seconds: 1_795_259_534, nanos: 7 };
        assert_eq!(short_time(Some(&then), "2026-12-01T00:00:00Z"), "11-21 11:12");
        assert_eq!(short_time(Some(&then), "2027-01-01T00:00:00Z"), "2026-11-21 11:12");
        assert_eq!(short_time(None, "2027-01-01T00:00:00Z"), "-");
        let nobodys = Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(short_time(Some(&nobodys), ""), nobodys.to_string());
    }

    #[test]
    fn a_host_name_has_a_name_in_it() {
        let web = Attachment {
            name: "web".to_owned(),
            published: vec!["web.pods.example".to_owned()],
            ..Default::default()
        };
        let label = |host| label(host, &[web.clone(), Attachment::default()]);
        for host in ["db.v6pod", "DB.v6pod.", "db.service.consul", "db.pods.example"] {
            assert_eq!(label(host).as_deref(), Some("db"), "{host}");
        }
        for host in ["db", "db.example", ".v6pod", "v6pod", "a.b.v6pod", "dbv6pod", ".", ""] {
            assert_eq!(label(host), None, "{host}");
        }
    }

    #[test]
    fn others_texts_reach_no_terminal() {
        let hostile = HistoryEntry {
            name: "\x1b[2J".to_owned(),
            container_id: "\u{202e}x".to_owned(),
            network: "a\nb".to_owned(),
            address: "\x07".to_owned(),
            reason: 99,
            end: Some(Timestamp::default()),
            ..entries().remove(0)
        };
        let table = render(&[hostile], &users(), &View::of(None, false, 0));
        assert_eq!(table.lines().count(), 2);
        assert!(
            table.lines().all(|line| line.chars().all(text::is_printable)) && table.contains("99"),
            "{table}"
        );
    }

    #[test]
    fn what_is_meant_is_known_by_its_looks() {
        let text = |text: &str| text.to_owned();
        let targets = |what| targets(Some(what)).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(super::targets(None), [None]);
        for address in ["2001:db8::7", "2001:db8::/80"] {
            assert_eq!(targets(address), [Target::Address(text(address))]);
        }
        assert_eq!(targets("42"), [Target::Uid(42), Target::Name(text("42"))]);
        let (name, container) = (Target::Name(text("4711")), Target::ContainerId(text("4711")));
        assert_eq!(targets("4711"), [Target::Uid(4711), name, container]);
        assert_eq!(targets("web"), [Target::Name(text("web"))]);
        let id = "c0ffee".repeat(11);
        assert_eq!(targets(&id), [Target::ContainerId(id.clone())]);
        assert_eq!(targets("99999999999").len(), 2);
    }
}

//! Times as people write them: RFC 3339, shorter, or as long ago.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

const HELP: &str =
    "write 2026-11-20T03:14:07Z, \"2026-11-20 03:14\" (UTC), 2026-11-20, or -2h for two hours ago";

/// What a time means: as much as it leaves open. A minute without seconds is all of that minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub from: SystemTime,
    /// Its last one.
    pub until: SystemTime,
}

/// For the command line.
pub fn parse(text: &str) -> Result<Window, String> {
    parse_at(text, SystemTime::now()).ok_or_else(|| HELP.to_owned())
}

fn parse_at(text: &str, now: SystemTime) -> Option<Window> {
    match ago(text) {
        Some(ago) => now.checked_sub(ago).map(|then| Window { from: then, until: then }),
        None => date(text),
    }
}

/// "2h" or "-2h", in s, m, h or d.
fn ago(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u64 = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(unit).map(Duration::from_secs)
}

/// A date, and as much of a time and a zone as there is. Without a zone it is UTC.
fn date(text: &str) -> Option<Window> {
    // What prost takes beyond that is a surprise here: years of other than four digits.
    if !text.is_ascii() || !text.as_bytes().get(..4)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let to_minute = text.get(..16);
    let (text, leaves_open) = match (text.len(), text.as_bytes().get(16)) {
        (10, _) => (text.to_owned(), 86_400),
        (_, Some(b':')) => (text.to_owned(), if text.contains('.') { 0 } else { 1 }),
        _ => (format!("{}:00{}", to_minute?, &text[16..]), 60),
    };
    let from = text.parse::<Timestamp>().ok().and_then(|time| SystemTime::try_from(time).ok())?;
    // The audit's times are in milliseconds.
    let last = Duration::from_secs(leaves_open).saturating_sub(Duration::from_millis(1));
    Some(Window { from, until: from.checked_add(last)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    /// From when to when, in whole seconds; and what that leaves out at the end, in milliseconds.
    fn window(text: &str) -> Option<(String, u128)> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_259_534);
        let Window { from, until } = parse_at(text, now)?;
        Some((text::date(from), until.duration_since(from).unwrap().as_millis()))
    }

    #[test]
    fn what_a_time_leaves_open_is_meant() {
        for (text, from, millis) in [
            ("2026-11-20T03:14:07Z", "2026-11-20T03:14:07Z", 999),
            ("2026-11-20T03:14:07.5Z", "2026-11-20T03:14:07Z", 0),
            ("2026-11-20T03:14:07+01:00", "2026-11-20T02:14:07Z", 999),
            ("2026-11-20 03:14:07", "2026-11-20T03:14:07Z", 999),
            ("2026-11-20 03:14", "2026-11-20T03:14:00Z", 59_999),
            ("2026-11-20t03:14z", "2026-11-20T03:14:00Z", 59_999),
            ("2026-11-20 03:14 -05:30", "2026-11-20T08:44:00Z", 59_999),
            ("2026-11-20", "2026-11-20T00:00:00Z", 86_399_999),
            ("-2h", "2026-11-21T09:12:14Z", 0),
            ("2h", "2026-11-21T09:12:14Z", 0),
            ("90m", "2026-11-21T09:42:14Z", 0),
            ("-1d", "2026-11-20T11:12:14Z", 0),
            ("0s", "2026-11-21T11:12:14Z", 0),
        ] {
            assert_eq!(window(text), Some((from.to_owned(), millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "h",
            "-h",
            "--2h",
            "+2h",
            "2w",
            "99999999999999999999d",
            "9999999999999999d",
            "yesterday",
            "03:14",
            "2026-11-20T",
            "2026-11-20T03",
            "2026-11-20 3:14",
            "2026-13-20",
            "2026-11-31 00:00",
            "2026-11-20 24:00",
            "2026-11-20 03:14:07 CET",
            "20261120T031407Z",
            "+2026-11-20",
            "2026-11-20 03:1é",
            "2026-11-2é",
            "é",
            "2026-11-20\n",
        ] {
            assert_eq!(window(text), None, "{text:?}");
        }
    }
}

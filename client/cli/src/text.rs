//! Small texts: what is safe to print, what fits, how old something is.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// What stands for nothing.
pub const NONE: &str = "-";

/// Whether a terminal shows this character and does nothing else with it: no control, formatting
/// (bidirectional, zero-width) or combining character, no separator but the space.
pub fn is_printable(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().eq([character])
}

/// The text with everything escaped that is not printable, line ends among it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_printable(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_debug());
        }
    }
    escaped
}

/// The escaped text, or [`NONE`] if there is none.
pub fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { escape(text) }
}

/// The text in at most `width` characters; the last is `…` if there were more.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.extend((width > 0).then_some('…'));
    short
}

/// The time since `timestamp` in one unit: "42s", "3m", "2h", "5d". Clocks may differ: the future is now.
pub fn age(timestamp: Option<&Timestamp>, now: SystemTime) -> String {
    let Some(then) = timestamp.and_then(|timestamp| SystemTime::try_from(*timestamp).ok()) else {
        return NONE.to_owned();
    };
    let seconds = now.duration_since(then).unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// RFC 3339 in UTC, whole seconds.
pub fn date(time: SystemTime) -> String {
    Timestamp { nanos: 0, ..Timestamp::from(time) }.to_string()
}

/// When it was and how long ago: "2026-11-21T11:12:14Z (3m ago)".
pub fn since(timestamp: Option<&Timestamp>, now: SystemTime) -> String {
    match timestamp {
        None => NONE.to_owned(),
        Some(then) => format!("{} ({} ago)", Timestamp { nanos: 0, ..*then }, age(timestamp, now)),
    }
}

/// "1 problem", "2 problems".
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_is_printed() {
        assert_eq!(escape("web-1 é 網 \"'\\"), "web-1 é 網 \"'\\");
        assert_eq!(escape("a\x1b[31m\n\x7f\u{9b}b"), r"a\u{1b}[31m\n\u{7f}\u{9b}b");
        assert_eq!(escape("a\u{202e}\u{200b}\u{2028}\u{301}"), r"a\u{202e}\u{200b}\u{2028}\u{301}");
        assert_eq!(or_none(""), "-");
    }

    #[test]
    fn long_texts_are_cut() {
        for (text, width, expected) in
            [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("é網a", 2, "é…"), ("ab", 1, "…"), ("ab", 0, "")]
        {
            assert_eq!(cut(text, width), expected);
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let start = Timestamp { seconds: 1_000_000, nanos: 5 };
        let after = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_001 + seconds);
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (7200, "2h"),
            (86_399, "23h"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(Some(&start), after(seconds)), expected);
        }
        assert_eq!(age(Some(&start), SystemTime::UNIX_EPOCH), "0s");
        assert_eq!(age(None, after(0)), "-");
    }

    #[test]
    fn dates_are_rfc_3339() {
        assert_eq!(
            date(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_259_534_123)),
            "2026-11-21T11:12:14Z"
        );
        let then = Timestamp { seconds: 951_827_696, nanos: 250_000_000 };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(951_827_696 + 200);
        assert_eq!(since(Some(&then), now), "2000-02-29T12:34:56Z (3m ago)");
        assert_eq!(then.to_string(), "2000-02-29T12:34:56.250Z");
    }
}

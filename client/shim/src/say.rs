//! The one line a way in writes to standard error.
//!
//! Engines show it to their users, mixed with the output of other programs and often with text that came
//! from elsewhere (the daemon's refusal, a path). So it names its author, is written at once, and cannot
//! contain anything a terminal would act on.

use std::io::Write as _;

/// Longer texts are cut here; nobody reads further.
const LONGEST: usize = 1000;

/// Writes `text` as one line. There is nobody to tell if that fails.
pub fn line(text: &str) {
    let _ = std::io::stderr().write_all(format(text).as_bytes());
}

/// Writes a text of the program's own that may have several lines.
pub(crate) fn usage(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The line that [`line()`] writes.
fn format(text: &str) -> String {
    format!("v6pod: {}\n", plain(text))
}

/// `text` cut and made harmless, for conventions in which the author is known.
pub(crate) fn plain(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars().take(LONGEST) {
        // The two separators are line ends to some programs, and not control characters.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(format("a\n\u{1b}[31mé\u{2028}"), "v6pod: a\\n\\u{1b}[31mé\\u{2028}\n");
    }

    #[test]
    fn long_texts_are_cut() {
        assert!(format(&"x".repeat(100_000)).len() < 1100);
    }
}

//! Patterns of names: `web-*`, `{user}-?`.

use std::{fmt, str::FromStr};

use super::Subject;
use crate::model::Name;

/// The longest pattern, in octets: a name has at most 63.
const LONGEST: usize = 128;

/// A pattern: `*` is any text, `?` any one character, `{user}` and `{uid}` the caller's name, spelt as a
/// container's name would be, and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    One,
    Any,
    User,
    Uid,
}

/// The text is no pattern.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a pattern of names: 1 to {LONGEST} of a-z, 0-9, \"-\", \"*\", \"?\", {{user}} and {{uid}}"
)]
pub struct NotAPattern(String);

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let refuse = || NotAPattern(text.chars().take(64).collect());
        if text.is_empty() || text.len() > LONGEST {
            return Err(refuse());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (part, length) = match first {
                '*' => (Part::Any, 1),
                '?' => (Part::One, 1),
                '{' if rest.starts_with("{user}") => (Part::User, 6),
                '{' if rest.starts_with("{uid}") => (Part::Uid, 5),
                _ => {
                    let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
                    let length = rest.chars().take_while(plain).count();
                    (Part::Text(rest[..length].to_owned()), length)
                }
            };
            if length == 0 {
                return Err(refuse());
            }
            // Several stars in a row say no more than one.
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
            rest = &rest[length..];
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::One => f.write_str("?"),
            Part::Any => f.write_str("*"),
            Part::User => f.write_str("{user}"),
            Part::Uid => f.write_str("{uid}"),
        })
    }
}

impl Pattern {
    /// Whether the caller's name is needed to match it.
    pub fn asks_for_user(&self) -> bool {
        self.0.contains(&Part::User)
    }

    /// Whether a name fits. Where the caller has no name, or none that could be part of one, `{user}` fits
    /// nothing.
    pub fn fits(&self, name: &Name, subject: &Subject) -> bool {
        self.glob(subject).is_some_and(|glob| matches(&glob, name.as_str().as_bytes()))
    }

    /// As it is for this caller, for people to read.
    pub fn shown_to(&self, subject: &Subject) -> String {
        let Some(glob) = self.glob(subject) else { return self.to_string() };
        glob.iter()
            .map(|sign| match sign {
                Sign::Octet(octet) => char::from(*octet),
                Sign::One => '?',
                Sign::Any => '*',
            })
            .collect()
    }

    fn glob(&self, subject: &Subject) -> Option<Vec<Sign>> {
        let mut glob = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => glob.extend(text.bytes().map(Sign::Octet)),
                Part::One => glob.push(Sign::One),
                Part::Any => glob.push(Sign::Any),
                Part::User => glob.extend(subject.label()?.as_str().bytes().map(Sign::Octet)),
                Part::Uid => glob.extend(subject.account.to_string().bytes().map(Sign::Octet)),
            }
        }
        Some(glob)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Octet(u8),
    One,
    Any,
}

/// Whether the glob is the whole text. Goes back to the last star only, so that no pattern takes more than
/// the product of both lengths.
fn matches(glob: &[Sign], text: &[u8]) -> bool {
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match glob.get(at) {
            Some(Sign::Any) => {
                star = Some((at, seen));
                at += 1;
            }
            Some(sign) if *sign == Sign::One || *sign == Sign::Octet(text[seen]) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                (at, seen) = (back + 1, from + 1);
            }
        }
    }
    glob[at..].iter().all(|sign| *sign == Sign::Any)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subject(user: &str) -> Subject {
        Subject { uid: 100_007, account: 1001, user: Some(user.to_owned()), ..Subject::default() }
    }

    #[test]
    fn names_fit_or_not() {
        for (pattern, name, fits) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web-*", "web-", true),
            ("web-*", "web-a-b", true),
            ("web-*", "webs", false),
            ("*", "x", true),
            ("**", "x", true),
            ("?", "x", true),
            ("?", "xy", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbx", false),
            ("{user}-*", "al-ice-db", true),
            ("{user}-*", "bob-db", false),
            ("{uid}-*", "1001-db", true),
            // The owner's number, not the subordinate one.
            ("{uid}-*", "100007-db", false),
        ] {
            let (pattern, name) = (pattern.parse::<Pattern>().unwrap(), Name::from_container(name));
            // A name cannot end in "-"; the pattern alone is asked then.
            let Ok(name) = name else { continue };
            assert_eq!(pattern.fits(&name, &subject("Al_ice")), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_user_without_a_usable_name_fits_no_pattern_with_one() {
        let pattern: Pattern = "{user}*".parse().unwrap();
        let name: Name = "web".parse().unwrap();
        for user in [None, Some("DOMAIN\\user"), Some(""), Some("_"), Some("a b")] {
            let subject = Subject { user: user.map(str::to_owned), ..subject("") };
            assert!(!pattern.fits(&name, &subject), "{user:?}");
            assert_eq!(pattern.shown_to(&subject), "{user}*");
        }
        assert_eq!("{user}-?*".parse::<Pattern>().unwrap().shown_to(&subject("bob")), "bob-?*");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "A", "a b", "a\n", "{", "{x}", "{user", "a.b", "ä", "[a]", &"a".repeat(129)] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
    }

    /// What a glob means, without regard to time.
    fn means(glob: &[Sign], text: &[u8]) -> bool {
        match (glob.first(), text.first()) {
            (None, None) => true,
            (Some(Sign::Any), _) => means(&glob[1..], text) || !text.is_empty() && means(glob, &text[1..]),
            (Some(Sign::One), Some(_)) => means(&glob[1..], &text[1..]),
            (Some(Sign::Octet(wanted)), Some(octet)) => wanted == octet && means(&glob[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_means(pattern in "[ab*?]{1,10}", text in "[ab]{1,12}") {
            let pattern: Pattern = pattern.parse().unwrap();
            let glob = pattern.glob(&subject("")).unwrap();
            prop_assert_eq!(matches(&glob, text.as_bytes()), means(&glob, text.as_bytes()));
        }

        #[test]
        fn a_pattern_reads_as_it_was_written(text in "([ab]|\\?|\\{user\\}|\\{uid\\}){1,8}") {
            prop_assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
    }
}

//! Text that comes from callers and ends in names of things: each kind has its own rules.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a piece of text was refused. The text is quoted with control characters escaped and cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {quoted} is not valid: {rule}")]
pub struct Invalid {
    what: &'static str,
    quoted: String,
    rule: &'static str,
}

impl Invalid {
    pub(super) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        const SHOWN: usize = 64;
        let mut quoted = format!("{:?}", text.chars().take(SHOWN).collect::<String>());
        if text.chars().nth(SHOWN).is_some() {
            quoted.push('…');
        }
        Self { what, quoted, rule }
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(Invalid::new($what, text, $rule)) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

checked_text!(
    /// A name under which an attachment is published: one DNS label as RFC 1123, section 2.1, has it.
    Name,
    "the name",
    "it has to be 1 to 63 of a-z, 0-9 and \"-\", and neither begin nor end with \"-\"",
    |text| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    }
);

impl Name {
    /// The name a container is published under: podman allows upper case, `_` and `.`, DNS labels do
    /// not, so they become lower case and `-`.
    ///
    /// # Errors
    /// What cannot be made a label that way is refused.
    pub fn from_container(text: &str) -> Result<Self, Invalid> {
        // Checked before it is copied: a hostile name may be as long as a message.
        if text.len() > 63 {
            return Err(Invalid::new("the name", text, "it has to be at most 63 octets long"));
        }
        text.to_ascii_lowercase().replace(['_', '.'], "-").parse()
    }
}

checked_text!(
    /// A container's id as its engine gave it.
    ContainerId,
    "the container id",
    "it has to be 1 to 128 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit",
    |text| {
        (1..=128).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
);

checked_text!(
    /// A tag for registries that have such a thing.
    Tag,
    "the tag",
    "it has to be 1 to 64 of A-Z, a-z, 0-9 and \"_.=/-\"",
    |text| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'=' | b'/' | b'-'))
    }
);

checked_text!(
    /// The name of a network interface: what the kernel accepts (`dev_valid_name` in net/core/dev.c, and
    /// not the folders of settings for all interfaces, `sysctl_dev_name_is_allowed`) and, narrower, only
    /// printable ASCII without what means something to tools.
    InterfaceName,
    "the interface name",
    "it has to be 1 to 15 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit, and neither \"all\" nor \"default\"",
    |text| {
        (1..=15).contains(&text.len())
            && !matches!(text, "all" | "default")
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
);

checked_text!(
    /// The name of a network.
    NetworkName,
    "the network name",
    "it has to be 1 to 63 of A-Z, a-z, 0-9, \"_\", \".\" and \"-\", the first a letter or a digit",
    |text| {
        (1..=63).contains(&text.len())
            && text.as_bytes()[0].is_ascii_alphanumeric()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn podmans_names_become_labels() {
        assert_eq!(Name::from_container("quirky_Bardeen").unwrap().as_str(), "quirky-bardeen");
        assert_eq!(Name::from_container("my.web.1").unwrap().as_str(), "my-web-1");
        for text in ["", "_", "a b", "a\nb", "a\0b", "-a", "ä", &"x".repeat(64), "../x"] {
            assert!(Name::from_container(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_escapes_and_cuts() {
        let error = Name::from_container(&"\n".repeat(65_536)).unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\n'), "{error}");
        assert!(error.starts_with("the name \"\\n"), "{error}");
    }

    #[test]
    fn hostile_ids_are_refused() {
        for text in ["", "../x", "a/b", "a\nb", "a\0b", ".a", "é", &"a".repeat(129)] {
            assert!(text.parse::<ContainerId>().is_err(), "{text:?}");
        }
        assert!("0123abcDEF_.-".parse::<ContainerId>().is_ok());
        for text in ["", ".", "..", "a/b", "a b", "a:b", "sixteen-octets-x", "all", "default"] {
            assert!(text.parse::<InterfaceName>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_a_label(text in ".{0,80}") {
            if let Ok(name) = Name::from_container(&text) {
                let name = name.as_str();
                prop_assert!(name.len() <= 63 && !name.is_empty());
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }
    }
}

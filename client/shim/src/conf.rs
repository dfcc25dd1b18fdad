//! The few lines of TOML that the shim has to read: sections, and keys with a string, a boolean or a
//! number.
//!
//! A whole TOML parser would be a sixth of the program. What this one does not know (arrays, inline
//! tables, dotted or quoted keys, multi-line strings) it reports line by line; the reader of our own
//! settings refuses the file then, the reader of other programs' files goes on.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `"..."` or `'...'`.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number from 0 on.
    Number(u64),
}

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The line, from 1 on.
    pub line: usize,
    /// The section it stands in, "" at the top.
    pub section: &'a str,
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: Value,
}

/// The number of a line that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown(pub usize);

/// The entries of a file in order, with the lines between that are not understood.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = Result<Entry<'_>, Unknown>> {
    let mut section = "";
    (1..).zip(text.lines()).filter_map(move |(line, text)| {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        if let Some(name) = text.strip_prefix('[') {
            let name = name.split_once(']').filter(|(_, rest)| is_end(rest)).map(|(name, _)| name.trim());
            // What follows an unreadable heading belongs to no section anybody asks for.
            section = name.unwrap_or("[");
            return name.is_none().then_some(Err(Unknown(line)));
        }
        let entry = key_and_value(text).map(|(key, value)| Entry { line, section, key, value });
        Some(entry.ok_or(Unknown(line)))
    })
}

/// Takes one line apart.
fn key_and_value(text: &str) -> Option<(&str, Value)> {
    let (key, rest) = text.split_once('=')?;
    let (key, rest) = (key.trim_end(), rest.trim_start());
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !key.chars().all(bare) {
        return None;
    }
    let (value, rest) = match rest.chars().next()? {
        '"' => quoted(&rest[1..])?,
        '\'' => rest[1..].split_once('\'').map(|(text, rest)| (Value::Text(text.to_owned()), rest))?,
        _ => {
            let (word, rest) = rest.split_at(rest.find([' ', '\t', '#']).unwrap_or(rest.len()));
            (word_value(word)?, rest)
        }
    };
    is_end(rest).then_some((key, value))
}

/// Whether nothing but a comment follows.
fn is_end(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

/// A value without quotes.
fn word_value(word: &str) -> Option<Value> {
    match word {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        // `parse` would also take a plus sign, as TOML does.
        _ => word.replace('_', "").parse().ok().map(Value::Number),
    }
}

/// The rest of a string after its opening quote, and what follows its closing one.
fn quoted(text: &str) -> Option<(Value, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        let next = match characters.next()? {
            (end, '"') => return Some((Value::Text(value), &text[end + 1..])),
            (_, '\\') => match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                literal @ ('"' | '\\') => literal,
                _ => return None,
            },
            (_, other) => other,
        };
        value.push(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn values() {
        for (line, value) in [
            (r#"k = "v""#, Some(text("v"))),
            (r#"  k="v" # why "#, Some(text("v"))),
            (r#"k = "a \"b\" \\ # \t""#, Some(text("a \"b\" \\ # \t"))),
            (r"k = 'a\b'", Some(text(r"a\b"))),
            ("k = true", Some(Value::Bool(true))),
            ("k = false# no", Some(Value::Bool(false))),
            ("k = 2_000", Some(Value::Number(2000))),
            ("k = -1", None),
            ("k = yes", None),
            ("k =", None),
            ("k", None),
            ("= 1", None),
            ("a.b = 1", None),
            (r#""k" = 1"#, None),
            (r#"k = "v"#, None),
            (r#"k = "v" w"#, None),
            (r#"k = """v""""#, None),
            (r#"k = ["v"]"#, None),
            ("k = { a = 1 }", None),
        ] {
            let expected =
                value.map(|value| Entry { line: 1, section: "", key: "k", value }).ok_or(Unknown(1));
            assert_eq!(entries(line).collect::<Vec<_>>(), [expected], "{line}");
        }
    }

    #[test]
    fn sections_and_lines() {
        let file =
            "# c\n\n[storage] # c\na = 1\n[storage.options]\nb = [\n  \"x=y\",\n]\nb = 2\n[[odd]]\nc = 3\n";
        let seen: Vec<_> = entries(file).map(|entry| entry.map(|e| (e.line, e.section, e.key))).collect();
        let expected = [
            Ok((4, "storage", "a")),
            Err(Unknown(6)),
            Err(Unknown(7)),
            Err(Unknown(8)),
            Ok((9, "storage.options", "b")),
            Err(Unknown(10)),
            Ok((11, "[", "c")),
        ];
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn never_panics(file in any::<String>()) {
            let _ = entries(&file).count();
        }

        #[test]
        fn anything_quoted_comes_back(value in "[^\\\\\"\n\r]*") {
            let file = format!("k = \"{value}\"");
            let entry = entries(&file).next().unwrap().unwrap();
            prop_assert_eq!(entry.value, Value::Text(value));
        }
    }
}

//! v6podd.toml(5): one table, packaging/man/source/keys.toml, and what v6podd itself takes.

use std::{collections::BTreeSet, path::Path};

use serde::Deserialize;
use v6podd::config::Config;

use crate::{
    read,
    roff::{bold, escape, item, text},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    table: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// "" for the top, `[NAME]` in brackets for those that may be there more than once.
    name: String,
    text: String,
    /// What a test writes before one of its keys.
    #[serde(default)]
    context: Vec<String>,
    /// What a test writes at the top of the file.
    #[serde(default)]
    top: Vec<String>,
    key: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    /// The type, with unit and range.
    r#type: String,
    /// As it is written in the file.
    default: Option<String>,
    /// Where the default is no value.
    default_words: Option<String>,
    #[serde(default)]
    required: bool,
    example: String,
    refused: Vec<String>,
    text: String,
    #[serde(default)]
    context: Vec<String>,
}

fn tables() -> Vec<Table> {
    toml::from_str::<Tables>(&read("packaging/man/source/keys.toml")).expect("keys.toml").table
}

/// All keys, for the page.
pub fn section() -> String {
    let mut out = String::new();
    for table in tables() {
        let heading = if table.name.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("[{}]", escape(&table.name))
        };
        out.push_str(&format!(".SS {heading}\n{}\n", text(&table.text)));
        for key in &table.key {
            let default = match (&key.default, &key.default_words, key.required) {
                (Some(value), None, false) => escape(value),
                (None, Some(words), false) => escape(words),
                (None, None, true) => "none: it has to be written".to_owned(),
                _ => panic!("{}.{}: one of default, default_words and required", table.name, key.name),
            };
            let body = format!(
                "{}\n.br\nDefault: {default}\n.br\nExample: {} = {}",
                text(&key.text),
                escape(&key.name),
                escape(&key.example)
            );
            out.push_str(&item(&format!("{} ({})", bold(&key.name), escape(&key.r#type)), &body));
        }
    }
    out
}

/// A file with this line in this table.
fn with(table: &Table, line: &str, key: Option<&Key>) -> String {
    let name = key.map_or("", |key| key.name.as_str());
    let is_other = |known: &&String| known.split(" = ").next() != Some(name);
    let mut lines: Vec<&str> = table.top.iter().map(String::as_str).collect();
    let heading = format!("[{}]", table.name);
    match table.context.first() {
        Some(_) => lines.extend(table.context.iter().filter(is_other).map(String::as_str)),
        None if table.name.is_empty() => {}
        None => lines.push(&heading),
    }
    lines.extend(key.iter().flat_map(|key| &key.context).map(String::as_str));
    lines.push(line);
    lines.join("\n") + "\n"
}

/// What v6podd makes of a file: the words of it, in an order that maps have no say in.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let words = |text: String| {
        let mut words: Vec<_> =
            text.split_whitespace().map(|word| word.trim_matches(['{', '}', ',']).to_owned()).collect();
        words.sort();
        words
    };
    Config::parse(text, Path::new("v6podd.toml"))
        .map(|config| words(format!("{config:?}")))
        .map_err(|error| error.to_string())
}

#[test]
fn every_key_stands_there_and_no_other() {
    let mut seen = BTreeSet::new();
    for table in tables() {
        let error = parse(&with(&table, "no_such_key = 1", None)).expect_err("an unknown key is refused");
        let (_, known) = error.split_once("expected ").unwrap_or_else(|| panic!("[{}]: {error}", table.name));
        let mut known: BTreeSet<_> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let documented: BTreeSet<_> = table.key.iter().map(|key| key.name.clone()).collect();
        if table.name.is_empty() {
            // These are tables.
            let inner = tables();
            let inner = inner.iter().map(|table| {
                table.name.trim_matches(['[', ']']).split('.').next().unwrap_or_default().to_owned()
            });
            seen = known.iter().cloned().collect();
            let inner: BTreeSet<_> = inner.filter(|name| !name.is_empty()).collect();
            assert!(inner.is_subset(&seen), "{inner:?} {seen:?}");
            known.retain(|key| !inner.contains(key));
        }
        assert_eq!(documented, known, "[{}]", table.name);
    }
    assert!(!seen.is_empty());
}

#[test]
fn examples_are_taken_defaults_are_the_defaults_and_bad_values_are_refused() {
    for table in tables() {
        for key in &table.key {
            let of = |value: &str| parse(&with(&table, &format!("{} = {value}", key.name), Some(key)));
            let name = format!("[{}] {}", table.name, key.name);
            of(&key.example).unwrap_or_else(|error| panic!("{name} = {}: {error}", key.example));
            if let Some(default) = &key.default {
                let without =
                    parse(&with(&table, "", Some(key))).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(of(default).as_ref(), Ok(&without), "{name}: {default} is not the default");
                assert!(
                    *default == key.example || of(&key.example) != Ok(without),
                    "{name}: the example changes nothing"
                );
            }
            if key.required {
                assert!(parse(&with(&table, "", Some(key))).is_err(), "{name} may be left out");
            }
            assert!(!key.refused.is_empty(), "{name}");
            for value in &key.refused {
                assert!(of(value).is_err(), "{name} = {value} is taken");
            }
        }
    }
}

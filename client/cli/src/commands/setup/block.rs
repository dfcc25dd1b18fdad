//! One key in a TOML file that is somebody else's, between two marked lines.
//!
//! Only for podman before 3.3, which reads no drop-in files. A second table of the same name would be an
//! error, so the lines go right below the heading of the table that is there, or, with a heading of their
//! own, to the end. What was written by hand stays byte for byte. A line that looks like a heading can stand in
//! a string, and a table can be written in several ways: so both texts are read by a TOML parser, and if
//! they differ by anything but this key, nothing is written.

use std::path::Path;

use toml::{Table, Value};

use super::Error;

const BEGIN: &str = "# v6pod setup: begin; this removes it: v6pod setup --undo podman";
/// The same, for a file that was not there before.
const BEGIN_FILE: &str = "# v6pod setup: begin; this removes the file: v6pod setup --undo podman";
const END: &str = "# v6pod setup: end";

/// A string in a table.
pub struct Key {
    /// The table's name.
    pub table: &'static str,
    /// The key's.
    pub key: &'static str,
    /// The value.
    pub value: &'static str,
}

/// What is left of a file without our lines.
#[derive(Debug, PartialEq, Eq)]
pub enum Removed {
    /// There were none.
    Nothing,
    /// The rest.
    Lines(String),
    /// Nothing, and there was no such file before.
    All,
}

impl Key {
    /// The lines as they are without a table to put them in.
    pub fn lines(&self) -> String {
        format!("[{}]\n{}\n", self.table, self.line())
    }

    fn line(&self) -> String {
        format!("{} = \"{}\"", self.key, self.value)
    }

    /// The text with the key.
    pub fn insert(&self, path: &Path, text: Option<&str>) -> Result<String, Error> {
        let Some(text) = text else {
            return Ok(format!("{BEGIN_FILE}\n{}{END}\n", self.lines()));
        };
        let before = parse(path, text)?;
        match (self.find(&before), cut(text)) {
            (Some(Value::String(value)), _) if value == self.value => return Ok(text.to_owned()),
            // Ours from another time.
            (Some(_), Some((without, _))) => return self.insert(path, Some(&without)),
            (Some(_), None) => return Err(Error::Taken { path: path.to_owned(), key: self.key }),
            (None, _) => {}
        }
        let (at, lines) = match self.heading(text) {
            Some(end) => (end, self.line()),
            None => (text.len(), self.lines().trim_end().to_owned()),
        };
        let block = format!("{BEGIN}\n{lines}\n{END}");
        let (above, below) = text.split_at(at);
        // A last line without an end stays without; see `cut`.
        let after = match above.is_empty() || above.ends_with('\n') {
            true => format!("{above}{block}\n{below}"),
            false => format!("{above}\n{block}"),
        };
        self.check(path, &after, &before)?;
        Ok(after)
    }

    /// The text without what [`Key::insert`] put in.
    pub fn remove(&self, path: &Path, text: &str) -> Result<Removed, Error> {
        let Some((without, was_absent)) = cut(text) else { return Ok(Removed::Nothing) };
        if was_absent && without.is_empty() {
            return Ok(Removed::All);
        }
        let parsed = parse(path, &without)?;
        self.check(path, text, &parsed)?;
        Ok(Removed::Lines(without))
    }

    /// Where the first line below the table's heading begins.
    fn heading(&self, text: &str) -> Option<usize> {
        let mut end = 0;
        text.split_inclusive('\n').find_map(|line| {
            end += line.len();
            let heading = line.split('#').next()?.trim();
            let name = heading.strip_prefix('[')?.strip_suffix(']')?.trim();
            (name == self.table).then_some(end)
        })
    }

    /// Whether the text `with` the key says what the text without it does, and nothing else.
    fn check(&self, path: &Path, with: &str, without: &Table) -> Result<(), Error> {
        let unusual = || Error::Unusual { path: path.to_owned(), line: self.line(), table: self.table };
        let mut with: Table = with.parse().map_err(|_| unusual())?;
        let added = with.get_mut(self.table).and_then(Value::as_table_mut);
        let added = added.ok_or_else(unusual)?;
        added.remove(self.key).ok_or_else(unusual)?;
        if added.is_empty() && !without.contains_key(self.table) {
            with.remove(self.table);
        }
        if with == *without { Ok(()) } else { Err(unusual()) }
    }

    fn find<'a>(&self, table: &'a Table) -> Option<&'a Value> {
        table.get(self.table)?.as_table()?.get(self.key)
    }
}

/// The text without our lines, if it has them, and whether they began a file that was not there.
fn cut(text: &str) -> Option<(String, bool)> {
    let line = |wanted: &str| {
        let mut start = 0;
        text.split_inclusive('\n').find_map(|line| {
            let found = (start, start + line.len());
            start = found.1;
            (line.trim_end_matches('\n') == wanted).then_some(found)
        })
    };
    let (begin, was_absent) = match line(BEGIN) {
        Some(begin) => (begin, false),
        None => (line(BEGIN_FILE)?, true),
    };
    let end = line(END).filter(|end| end.0 >= begin.1)?;
    let (mut above, below) = (&text[..begin.0], &text[end.1..]);
    // The line above had no end before we came.
    if !text[..end.1].ends_with('\n') {
        above = above.strip_suffix('\n').unwrap_or(above);
    }
    Some((format!("{above}{below}"), was_absent))
}

fn parse(path: &Path, text: &str) -> Result<Table, Error> {
    text.parse().map_err(|error: toml::de::Error| {
        let place = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::Toml { path: path.to_owned(), message: format!("line {line}: {}", error.message()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { table: "engine", key: "network_cmd_path", value: "/w" };

    fn insert(text: &str) -> Result<String, Error> {
        KEY.insert(Path::new("/f"), Some(text))
    }

    fn block(lines: &str) -> String {
        format!("{BEGIN}\n{lines}\n{END}")
    }

    #[test]
    fn lines_go_into_the_table_and_come_out_byte_for_byte() {
        let (line, table) =
            (block("network_cmd_path = \"/w\""), block("[engine]\nnetwork_cmd_path = \"/w\""));
        for (before, after) in [
            ("", format!("{table}\n")),
            ("# mine\n", format!("# mine\n{table}\n")),
            ("# mine", format!("# mine\n{table}")),
            ("a = 1\n[b]\nc = 2\n\n", format!("a = 1\n[b]\nc = 2\n\n{table}\n")),
            ("[engine]\n", format!("[engine]\n{line}\n")),
            ("[engine]", format!("[engine]\n{line}")),
            ("[ engine ] # x\nb = 1\n[c]\n", format!("[ engine ] # x\n{line}\nb = 1\n[c]\n")),
            ("[engine]\r\nb = 1\r\n", format!("[engine]\r\n{line}\nb = 1\r\n")),
            ("[engine.runtimes]\nx = [\"y\"]\n", format!("[engine.runtimes]\nx = [\"y\"]\n{table}\n")),
            ("s = '''\n[enginex]\n'''", format!("s = '''\n[enginex]\n'''\n{table}")),
        ] {
            let inserted = insert(before).unwrap_or_else(|error| panic!("{before:?}: {error}"));
            assert_eq!(inserted, after, "{before:?}");
            assert_eq!(insert(&inserted).unwrap(), inserted, "twice is once");
            let removed = KEY.remove(Path::new("/f"), &inserted).unwrap();
            assert_eq!(removed, Removed::Lines(before.to_owned()), "{before:?}");
        }
    }

    #[test]
    fn a_new_file_goes_again_unless_somebody_has_added_to_it() {
        let text = KEY.insert(Path::new("/f"), None).unwrap();
        assert_eq!(KEY.remove(Path::new("/f"), &text).unwrap(), Removed::All);
        let more = format!("{text}[network]\nx = 1\n");
        let rest = Removed::Lines("[network]\nx = 1\n".to_owned());
        assert_eq!(KEY.remove(Path::new("/f"), &more).unwrap(), rest);
        // Keys below ours, without a heading of their own, would end up in no table.
        let below = format!("{text}x = 1\n");
        assert!(matches!(KEY.remove(Path::new("/f"), &below), Err(Error::Unusual { .. })));
        assert_eq!(KEY.remove(Path::new("/f"), "a = 1\n").unwrap(), Removed::Nothing);
    }

    #[test]
    fn another_value_of_ours_is_replaced_and_one_of_theirs_is_not() {
        let old = Key { value: "/old", ..KEY }.insert(Path::new("/f"), Some("[engine]\na = 1\n")).unwrap();
        assert_eq!(insert(&old).unwrap(), insert("[engine]\na = 1\n").unwrap());
        assert!(matches!(insert("[engine]\nnetwork_cmd_path = '/x'\n"), Err(Error::Taken { .. })));
        let same = "[engine]\nnetwork_cmd_path = '/w'\n";
        assert_eq!(insert(same).unwrap(), same);
    }

    #[test]
    fn what_cannot_be_understood_is_not_touched() {
        for text in ["engine = { a = 1 }\n", "engine.a = 1\n", "s = '''\n[engine]\n'''\n", "[[engine]]\n"] {
            assert!(matches!(insert(text), Err(Error::Unusual { .. })), "{text}");
        }
        let error = insert("a = 1\nb = \n").unwrap_err();
        assert!(error.to_string().starts_with("/f: line 2: "), "{error}");
    }
}

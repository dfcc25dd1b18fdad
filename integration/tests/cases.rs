//! docs/security.md names the tests that there are, for each of the 40 cases.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const CASES: u32 = 40;

#[test]
fn the_table_of_cases_is_true() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = BTreeMap::new();
    look(&tests, &tests, &mut found);
    let text = fs::read_to_string(tests.join("../../docs/security.md")).expect("docs/security.md");
    for number in 1..=CASES {
        let row = text.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let cells: Vec<_> = row.unwrap_or_else(|| panic!("no row for case {number}")).split('|').collect();
        let named: BTreeSet<String> = cells[4].split_whitespace().map(|path| path.replace('`', "")).collect();
        let there = found.remove(&number).unwrap_or_default();
        assert!(!there.is_empty(), "case {number} has no test");
        assert_eq!(named, there, "the tests of case {number}");
    }
    assert!(found.is_empty(), "tests of cases that there are not: {found:?}");
}

/// Notes in which files there are tests of which case.
fn look(root: &Path, folder: &Path, found: &mut BTreeMap<u32, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).expect("the tests' folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            look(root, &path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        let numbers =
            text.lines().filter_map(|line| line.trim().strip_prefix("fn case_")?.get(..2)?.parse().ok());
        for number in numbers {
            found.entry(number).or_default().insert(name.clone());
        }
    }
}

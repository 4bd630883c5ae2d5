//! The bank of bugs: the table is whole, and what it says is so.
#![allow(clippy::unwrap_used)]

use traitwire_sim::bank::{all, find, name};

const TABLE: &str = include_str!("../BUGS.md");

/// The cells of the row of a bug.
fn row(name: &str) -> Vec<&'static str> {
    let begin = format!("| `{name}` |");
    let row = TABLE.lines().find(|line| line.starts_with(&begin));
    let row = row.unwrap_or_else(|| panic!("`{name}` is not in BUGS.md: run `bugs --write`"));
    row.split('|').map(str::trim).collect()
}

/// X2: every bug is in the table and was found.
#[test]
fn the_table_has_every_bug_and_what_found_it() {
    for bug in all() {
        let cells = row(&name(bug));
        assert!(cells[2].len() > 10, "{cells:?} does not say what the bug is");
        assert!(cells[4].parse::<u64>().is_ok(), "{cells:?} was found by nothing");
    }
    let rows = TABLE.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, all().len(), "the table has bugs that are not there any more");
}

/// X2: bugs that need few seeds are found again.
#[test]
fn bugs_that_need_few_seeds_are_found() {
    let mut found = 0;
    for bug in all() {
        let seeds: u64 = row(&name(bug))[4].parse().unwrap();
        if seeds <= 10 {
            let entry = find(bug, 2 * seeds);
            assert!(entry.killer.is_some(), "{} was found in {seeds} seeds once", name(bug));
            found += 1;
        }
    }
    assert!(found >= 15, "only {found} bugs need few seeds");
}

//! Pairs of contracts and their reports, one file a rule: `rNN_*.txt` beside this file, rewritten by `UPDATE_EXPECT=1`.
//!
//! A case is a few lines, a line `---`, and the report. Cases are separated by an empty line, and a line that begins
//! with `#` says what a case shows. The other lines are a key and JSON:
//!
//! - `old`, `new`: the schema of a message. The method `m` takes it and gives it, so that the report shows both ways.
//! - `old.types`: named schemas. `old.method`, `old.service`: what else these say.
//! - `history`: what the lock remembers.
//!
//! A line of the report is the rule, whom it breaks, what it is at the levels full and backward, the path, what was and
//! what is, and the sentence.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use traitwire_schema::Contract;
use traitwire_schema::diff::{History, Rule, compare};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff")
}

/// All cases, by the name of their file.
fn files() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    texts
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Adds the fields of `more` to `document`.
fn extend(document: &mut Value, more: &Value) {
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
}

/// One side of a case.
fn side(lines: &BTreeMap<&str, Value>, side: &str, compat: &str) -> Contract {
    let line = |key: &str| lines.get(format!("{side}{key}").as_str());
    let schema = line("").cloned().unwrap_or(json!({ "type": "null" }));
    let mut method = json!({ "name": "m", "idempotency": "none", "arguments": schema, "reply": schema });
    extend(&mut method, line(".method").unwrap_or(&json!({})));
    let mut service = json!({ "name": "Service", "compat": compat, "methods": [method] });
    extend(&mut service, line(".service").unwrap_or(&json!({})));
    let types = line(".types").cloned().unwrap_or(json!({}));
    let document = json!({ "format": 1, "fingerprint": "", "services": [service], "types": types });
    Contract::from_json(&document).unwrap()
}

fn history(lines: &BTreeMap<&str, Value>) -> History {
    let Some(history) = lines.get("history") else { return History::default() };
    History {
        deprecated_releases: serde_json::from_value(history["deprecated_releases"].clone())
            .unwrap_or_default(),
        reserved: serde_json::from_value(history["reserved"].clone()).unwrap_or_default(),
    }
}

/// The report of a case.
fn report(setup: &str) -> String {
    let lines = setup.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (key, json) = line.split_once(' ').unwrap_or_else(|| panic!("no JSON in `{line}`"));
        (key, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in `{line}`")))
    });
    let lines: BTreeMap<&str, Value> = lines.collect();
    let [full, backward] = ["full", "backward"]
        .map(|level| compare(&side(&lines, "old", level), &side(&lines, "new", level), &history(&lines)));
    assert_eq!(full.len(), backward.len(), "the level decides how bad a finding is, not whether it is one");
    let mut report = String::new();
    for (full, backward) in full.iter().zip(&backward) {
        let nothing = || "-".to_owned();
        let (old, new) = (full.old.clone().unwrap_or_else(nothing), full.new.clone().unwrap_or_else(nothing));
        writeln!(
            report,
            "{} {} {}/{} {} [{old} -> {new}] {}",
            full.rule,
            full.breaks.as_str(),
            full.severity,
            backward.severity,
            full.path,
            full.message
        )
        .unwrap();
    }
    report
}

#[test]
fn every_pair_has_its_report() {
    for (name, text) in files() {
        let cases: Vec<String> = text
            .trim_end()
            .split("\n\n")
            .map(|case| {
                let (setup, _) =
                    case.split_once("---").unwrap_or_else(|| panic!("no `---` in {name}: {case}"));
                format!("{setup}---\n{}", report(setup))
            })
            .collect();
        expect_test::expect_file![folder().join(&name)].assert_eq(&cases.join("\n"));
    }
}

#[test]
fn every_rule_has_a_file_that_shows_it() {
    let files = files();
    for rule in Rule::all() {
        let prefix = format!("{}_", rule.to_string().to_lowercase());
        let (name, text) =
            files.iter().find(|(name, _)| name.starts_with(&prefix)).unwrap_or_else(|| panic!("no {prefix}"));
        assert!(
            text.lines().any(|line| line.starts_with(&format!("{rule} "))),
            "{name} does not show {rule}"
        );
    }
}

/// Documentation, and how a schema is written, are no change.
#[test]
fn what_is_trivial_is_not_reported() {
    let files = files();
    let (_, text) = files.iter().find(|(name, _)| name.starts_with("r28_")).unwrap();
    assert!(text.matches("---").count() >= 10);
    assert!(text.lines().all(|line| !line.starts_with('R')), "{text}");
}

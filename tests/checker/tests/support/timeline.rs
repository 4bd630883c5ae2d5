//! Histories as drawings. One line is one call: the client, a bar from its beginning to its end, and what happened. The
//! columns of the bar are the clock, so all lines are indented alike. A bar without a right end is a call that never
//! returned.
//!
//! ```text
//! 1 |--|         put x 0 -> ok
//! 2    |----|    get     -> x 1
//! 3      |----   put y 1
//! ```

use std::collections::BTreeSet;

use traitwire_checker::{History, Input, Outcome};

/// Reads a drawing into a history of the key "k". A first line `starts VALUE VERSION` gives the key's state before it.
pub(crate) fn draw(drawing: &str) -> History {
    let mut history = History::new();
    let indents: BTreeSet<_> = drawing.lines().filter_map(|line| line.find(|letter| letter != ' ')).collect();
    assert!(indents.len() <= 1, "the lines of a drawing are indented alike: {drawing}");
    for line in drawing.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["starts", value, version] = words[..] {
            history = history.with_initial("k", value, number(version));
            continue;
        }
        add(&mut history, line, words[0]);
    }
    history
}

fn add(history: &mut History, line: &str, client: &str) {
    let begin = line.find('|').unwrap_or_else(|| panic!("no bar in {line:?}"));
    let rest = &line[begin + 1..];
    let bar = rest.find(|letter| letter != '-').unwrap_or(rest.len());
    let end = rest[bar..].starts_with('|').then_some(begin + 1 + bar);
    let text = rest[bar..].trim_start_matches('|').trim();
    let (asked, told) =
        text.split_once("->").map_or((text, None), |(asked, told)| (asked, Some(told.trim())));
    let input = match asked.split_whitespace().collect::<Vec<_>>()[..] {
        ["get"] => Input::Get,
        ["put", value, version] => Input::Put { value: value.to_owned(), version: number(version) },
        _ => panic!("{asked:?} is neither a get nor a put"),
    };
    let call = history.invoke(number(client), "k", input, begin as u64);
    match (end, told) {
        (None, None) => {}
        (Some(end), Some(told)) => history.complete(call, outcome(told), end as u64),
        (Some(_), None) | (None, Some(_)) => {
            panic!("a call has both an end and an outcome, or neither: {line:?}")
        }
    }
}

fn outcome(told: &str) -> Outcome {
    match told.split_whitespace().collect::<Vec<_>>()[..] {
        ["ok"] => Outcome::Ok,
        ["nokey"] => Outcome::NoKey,
        ["version"] => Outcome::Version,
        ["maybe"] => Outcome::Maybe,
        [value, version] => Outcome::Value { value: value.to_owned(), version: number(version) },
        _ => panic!("{told:?} is no outcome"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

//! Histories whose verdict a reader can see, each drawn as a time line.

mod support;

use support::brute;
use support::timeline::draw;
use traitwire_checker::{History, Input, Outcome, Verdict, check, search};

const STEPS_MAX: u64 = 10_000;

/// Checks each drawing with all deciders.
fn expect(legal: bool, drawings: &[(&str, &str)]) {
    for (story, drawing) in drawings {
        let history = draw(drawing);
        assert_eq!(
            brute::is_linearizable(&history),
            legal,
            "{story}: the drawing does not show what it says"
        );
        for verdict in [check(&history, STEPS_MAX), search(&history, STEPS_MAX)] {
            assert!(!matches!(verdict, Verdict::Unknown { .. }), "{story}: not decided");
            assert_eq!(verdict.is_legal(), legal, "{story}: {verdict}");
        }
    }
}

#[test]
fn bad_reads_are_found() {
    expect(
        false,
        &[
            (
                "a stale read",
                "
                 1 |--|              put x 0 -> ok
                 1      |--|         put y 1 -> ok
                 2           |--|    get     -> x 1",
            ),
            (
                "a key that is gone again",
                "
                 1 |--|         put x 0 -> ok
                 2      |--|    get     -> nokey",
            ),
            ("a value nobody wrote", "2 |--| get -> x 1"),
            (
                "a value that is not the one written",
                "
                 1 |--|         put x 0 -> ok
                 2      |--|    get     -> y 1",
            ),
            (
                "a version nobody made",
                "
                 1 |--|         put x 0 -> ok
                 2      |--|    get     -> x 2",
            ),
            (
                "a read that travels back in time",
                "
                 1 |--------------|   put x 0 -> ok
                 2    |--|            get     -> x 1
                 3         |--|       get     -> nokey",
            ),
            (
                "versions that go down for two readers one after the other",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--------------|      put y 1 -> ok
                 2         |--|               get     -> y 2
                 3              |--|          get     -> x 1",
            ),
            (
                "a read of a value before it was written",
                "
                 2 |--|         get     -> x 1
                 1      |--|    put x 0 -> ok",
            ),
            ("an absent key with a version", "1 |--| get -> x 0"),
            (
                "two values at one version",
                "
                 1 |-------        put x 0
                 2 |-------        put y 0
                 3    |--|         get -> x 1
                 3         |--|    get -> y 1",
            ),
            (
                "a state that was left before the first call",
                "
                 starts x 5
                 1 |--| get -> x 4",
            ),
            (
                "another value than the one there at first",
                "
                 starts x 5
                 1 |--| get -> y 5",
            ),
        ],
    );
}

#[test]
fn bad_puts_are_found() {
    expect(
        false,
        &[
            (
                "two winners of one version",
                "
                 1 |--------|   put x 0 -> ok
                 2 |--------|   put y 0 -> ok",
            ),
            (
                "a lost update",
                "
                 1 |--|                  put x 0 -> ok
                 1      |--|             put y 1 -> ok
                 2           |--|        put z 1 -> ok",
            ),
            (
                "an update that left no trace",
                "
                 1 |--|                  put x 0 -> ok
                 1      |--|             put y 1 -> ok
                 2           |--|        put z 1 -> version
                 2                |--|   get     -> x 1",
            ),
            ("a put that skipped versions", "1 |--| put x 3 -> ok"),
            (
                "puts in the wrong order",
                "
                 1 |--|         put y 1 -> ok
                 2      |--|    put x 0 -> ok",
            ),
            (
                "refused although nobody wrote",
                "
                 1 |--|         put x 0 -> ok
                 1      |--|    put y 1 -> version",
            ),
            ("refused by a key that does not exist", "1 |--| put x 1 -> version"),
            ("refused to create a key that does not exist", "1 |--| put x 0 -> version"),
            (
                "refused before the version changed",
                "
                 1 |--|                put x 0 -> ok
                 2      |--|           put y 1 -> version
                 1           |--|      put z 1 -> ok",
            ),
            (
                "refused at version 1, with nothing but version 1 and absence around it",
                "
                 1   |--|              put x 0 -> ok
                 2 |------|            put y 1 -> version",
            ),
            ("an absent key that will not be created", "1 |--| put x 0 -> nokey"),
            (
                "called absent while it existed",
                "
                 1 |--|         put x 0 -> ok
                 2      |--|    put y 4 -> nokey",
            ),
            (
                "a put that succeeded at a version left before the first call",
                "
                 starts x 5
                 1 |--| put y 4 -> ok",
            ),
            (
                "a second refusal that one late writer cannot explain",
                "
                 1 |--|                          put x 0 -> ok
                 1      |-------------------|    put y 1 -> ok
                 2        |--|                   put z 1 -> version
                 3              |--|             get     -> x 1",
            ),
        ],
    );
}

#[test]
fn bad_unclear_puts_are_found() {
    expect(
        false,
        &[
            (
                "Maybe seen before it began",
                "
                 1 |--|         get     -> x 1
                 2      |--|    put x 0 -> maybe",
            ),
            (
                "Maybe that took effect after it returned",
                "
                 1 |--|                  put x 0 -> maybe
                 2      |--|             get     -> nokey
                 2           |--|        get     -> x 1",
            ),
            (
                "Maybe applied twice",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--|                  put y 1 -> maybe
                 2           |--|             get     -> y 2
                 2                |--|        get     -> y 3",
            ),
            (
                "Maybe applied although another put won its version",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--|                  put y 1 -> maybe
                 2      |--|                  put z 1 -> ok
                 2           |--|             get     -> y 2",
            ),
            (
                "an open put seen before it began",
                "
                 1 |--|         get     -> x 1
                 2      |---    put x 0",
            ),
            (
                "an open put applied twice",
                "
                 1 |----------------          put x 0
                 2   |--|                     get -> x 1
                 2        |--|                get -> x 2",
            ),
            (
                "a refusal that only a put of the past could explain, and it was seen not to be applied",
                "
                 1 |--|                       put x 0 -> ok
                 2      |--|                  put y 1 -> maybe
                 3           |--|             get     -> x 1
                 3                |--|        put z 1 -> version",
            ),
        ],
    );
}

#[test]
fn good_histories_are_accepted() {
    expect(
        true,
        &[
            ("nothing at all", ""),
            (
                "one client, all answers",
                "
                 1 |-|                                 get     -> nokey
                 1     |-|                             put x 3 -> nokey
                 1         |-|                         put x 0 -> ok
                 1             |-|                     put y 0 -> version
                 1                 |-|                 put y 1 -> ok
                 1                     |-|             put z 1 -> version
                 1                         |-|         get     -> y 2",
            ),
            (
                "readers may disagree during a put",
                "
                 1 |--------------|   put x 0 -> ok
                 2    |--|            get     -> nokey
                 3         |--|       get     -> x 1",
            ),
            (
                "calls that touch are concurrent",
                "
                 2 |--|        get     -> x 1
                 1    |--|     put x 0 -> ok",
            ),
            (
                "an open put that never happened",
                "
                 1 |---                  put x 0
                 2      |--|             get     -> nokey
                 2           |--|        put y 0 -> ok",
            ),
            (
                "an open put that happened long after",
                "
                 1 |----------------------    put x 0
                 2      |--|                  get     -> nokey
                 2           |--|             get     -> x 1",
            ),
            (
                "Maybe applied inside the call",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--------|            put y 1 -> maybe
                 2        |--|                get     -> x 1
                 2             |--|           get     -> y 2",
            ),
            (
                "Maybe never applied",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--|                  put y 1 -> maybe
                 2           |--|             put z 1 -> ok",
            ),
            (
                "a refusal explained by an open put that nobody saw",
                "
                 1 |--|                       put x 0 -> ok
                 2      |---                  put y 1
                 3            |--|            put z 1 -> version",
            ),
            (
                "a refusal before the version was reached",
                "
                 1 |--|                       put x 0 -> ok
                 2      |--|                  put z 7 -> version",
            ),
            (
                "a refusal that touches the put before the version it named",
                "
                 1 |--|                       put x 0 -> ok
                 1      |--|                  put y 1 -> ok
                 2         |--|               put v 2 -> version
                 1              |--|          put z 2 -> ok",
            ),
            (
                "of two open puts with one value, only the second fits",
                "
                 1 |--|                       put x 0 -> maybe
                 2      |--|                  get     -> nokey
                 3           |--|             put x 0 -> maybe
                 2                |--|        get     -> x 1",
            ),
            (
                "a state from before the first call",
                "
                 starts x 5
                 1 |--|         get     -> x 5
                 2      |--|    put y 5 -> ok
                 2           |--|    put z 5 -> version",
            ),
        ],
    );
}

#[test]
fn keys_are_independent() {
    let mut history = History::new();
    for (key, read) in [("a", "x"), ("b", "wrong")] {
        let put = history.invoke(1, key, Input::Put { value: "x".into(), version: 0 }, 1);
        history.complete(put, Outcome::Ok, 2);
        let get = history.invoke(1, key, Input::Get, 3);
        history.complete(get, Outcome::Value { value: read.into(), version: 1 }, 4);
    }
    match check(&history, STEPS_MAX) {
        Verdict::Illegal(violation) => assert_eq!(violation.key(), "b"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_report_names_the_calls_that_show_it_first() {
    let history = draw(
        "
         1 |--|                                put x 0 -> ok
         2      |--|                           put y 1 -> ok
         3           |--|                      put z 1 -> ok
         4                |--|                 get     -> y 9",
    );
    let Verdict::Illegal(violation) = check(&history, STEPS_MAX) else { panic!("two puts won version 1") };
    assert_eq!(violation.reason(), "two puts both succeeded at version 1");
    let clients: Vec<_> = violation.culprits().iter().map(|operation| operation.client).collect();
    assert_eq!(clients, [2, 3]);
    let report = violation.to_string();
    assert!(
        report.contains("key \"k\" is not linearizable: two puts both succeeded at version 1"),
        "{report}"
    );
    assert!(report.contains("client 3 put \"k\" = \"z\" at 1 -> Ok [21 .. 24]"), "{report}");
    assert!(!report.contains("client 4"), "the history was wrong before client 4 called\n{report}");
}

#[test]
fn a_budget_that_ends_gives_no_verdict() {
    let history = draw("1 |--| put x 0 -> ok");
    assert!(matches!(check(&history, 0), Verdict::Unknown { .. }));
    assert!(matches!(search(&history, 0), Verdict::Unknown { .. }));
}

#[test]
#[should_panic(expected = "a call returns once")]
fn a_call_that_returns_twice_is_a_bug_of_the_recorder() {
    let mut history = History::new();
    let call = history.invoke(1, "k", Input::Get, 1);
    history.complete(call, Outcome::NoKey, 2);
    history.complete(call, Outcome::NoKey, 3);
}

#[test]
#[should_panic(expected = "cannot be answered by Ok")]
fn a_get_is_not_answered_ok() {
    let mut history = History::new();
    let call = history.invoke(1, "k", Input::Get, 1);
    history.complete(call, Outcome::Ok, 2);
}

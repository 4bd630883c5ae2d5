//! Whole nodes in virtual time: the state machine, the clients and the lock that serve, under faults.
#![allow(clippy::unwrap_used)]

use traitwire_sim::stack::{Outcome, ROWS, StackPlan, run_plan, scripts};

fn holds(what: &str, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("{violation}; cargo run --release -p traitwire-sim -- stack --show --seeds 1 {what}");
    }
}

/// X1, X6: histories are linearizable, promises are kept, and nothing is left behind, whatever goes wrong. The command line
/// runs thousands of these.
#[test]
fn all_rules_hold_for_whole_nodes_under_all_faults() {
    let (mut calls, mut maybes, mut unknown) = (0, 0, 0);
    for seed in 1..=25 {
        let outcome = run_plan(&StackPlan::draw(seed), false);
        holds(&format!("--start {seed}"), &outcome);
        calls += outcome.calls;
        maybes += outcome.maybes;
        unknown += outcome.unknown;
    }
    // The runs go where the difficult parts are.
    assert!(calls > 3_000 && maybes > 5 && unknown > 5, "{calls} calls, {maybes} maybe, {unknown} unknown");
}

/// V1 to V22, C8 to C12: each scenario, with a seed of its own in each. The tests of real processes have the same ones.
#[test]
fn every_scenario_holds() {
    for (row, seed) in ROWS.iter().zip(1..) {
        let outcome = run_plan(&row.plan(seed), false);
        holds(&format!("--row '{}' --start {seed}", row.id), &outcome);
        assert!(outcome.calls > 1, "{} did nothing: {outcome:?}", row.id);
    }
}

/// M9: an index that comes again tells nobody the reply to another one's command.
#[test]
fn an_index_that_comes_again_misleads_nobody() {
    for seed in 1..=20 {
        if let Err(violation) = scripts::an_index_comes_again(seed) {
            panic!("seed {seed}: {violation}");
        }
    }
}

/// One seed is one run, to the last event.
#[test]
fn the_same_seed_gives_the_same_run() {
    let mut traces = std::collections::BTreeSet::new();
    for seed in 101..=108 {
        let plan = StackPlan::draw(seed);
        let (first, second) = (run_plan(&plan, false), run_plan(&plan, false));
        assert_eq!((first.trace, first.rpcs), (second.trace, second.rpcs), "seed {seed}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len(), 8, "different seeds give different runs");
}

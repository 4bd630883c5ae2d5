//! Random runs with all faults.
#![allow(clippy::unwrap_used)]

use traitwire_sim::run::run_seed;

/// X7: all rules hold. The command line runs ten thousand of these.
#[test]
fn all_rules_hold_under_all_faults() {
    for seed in 1..=200 {
        if let Some(violation) = run_seed(seed, None).violation {
            panic!("{violation}; cargo run --release -p traitwire-sim -- replay {seed}");
        }
    }
}

/// X7: one seed is one run, to the last event.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let (first, second) = (run_seed(seed, None), run_seed(seed, None));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.counts, second.counts, "seed {seed}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len(), 20, "different seeds give different runs");
}

/// The runs go where the difficult parts are.
#[test]
fn the_runs_reach_what_they_are_for() {
    let (mut crashes, mut pieces, mut restores, mut conflicts, mut leaders) = (0, 0, 0, 0, 0);
    for seed in 1..=100 {
        let counts = run_seed(seed, None).counts;
        crashes += counts.crashes;
        pieces += counts.pieces;
        restores += counts.restores;
        conflicts += counts.conflicts;
        leaders += counts.leaders;
    }
    let counts = [crashes, pieces, restores, conflicts, leaders];
    assert!(counts.iter().all(|count| *count > 300), "{counts:?}");
}

//! Random runs with all faults.
#![allow(clippy::unwrap_used)]

use traitwire_sim::run::{run_seed, run_with_changes};

/// X7: all rules hold. The command line runs ten thousand of these.
#[test]
fn all_rules_hold_under_all_faults() {
    for seed in 1..=200 {
        if let Some(violation) = run_seed(seed, None).violation {
            panic!("{violation}; cargo run --release -p traitwire-sim -- replay {seed}");
        }
    }
}

/// The same while operators change the membership, wipe folders and mix up clusters. The command line runs ten thousand of these.
#[test]
fn all_rules_hold_while_the_membership_changes() {
    let (mut changes, mut joint, mut wipes, mut refused) = (0, 0, 0, 0);
    for seed in 1..=100 {
        let outcome = run_with_changes(seed, None);
        if let Some(violation) = outcome.violation {
            panic!("{violation}; cargo run --release -p traitwire-sim -- replay {seed} --changes all");
        }
        changes += outcome.counts.changes;
        joint += outcome.counts.joint;
        wipes += outcome.counts.wipes;
        refused += outcome.counts.refused_senders;
    }
    let counts = [changes, joint, wipes, refused];
    assert!(counts.iter().all(|count| *count > 100), "the runs do not reach what they are for: {counts:?}");
}

/// X7: one seed is one run, to the last event.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let (first, second) = (run_with_changes(seed, None), run_with_changes(seed, None));
        assert_eq!((first.trace, first.counts), (second.trace, second.counts), "seed {seed}");
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

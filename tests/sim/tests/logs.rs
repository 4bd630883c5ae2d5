//! Logs in simulated clusters.
#![allow(clippy::unwrap_used)]

use traitwire_sim::network::Profile;
use traitwire_sim::scenarios::{
    agreement_under_loss, backup, churn, crash_all, dup_and_reo, figure_8_unreliable, installs, many_entries,
    minority_value, removed_and_committed, repeated_partitions, ten_entries,
};

/// R10: ten entries cost few requests.
#[test]
fn ten_entries_cost_few_requests() {
    for seed in 1..=20 {
        ten_entries(seed).unwrap();
    }
}

/// R9, trap 18: 50 and 2,000 entries of many terms that only one node has are found out in a round trip a term.
#[test]
fn conflicts_are_found_term_by_term() {
    for (entries, terms) in [(50, 10), (2_000, 20)] {
        for profile in [Profile::REL, Profile::U50] {
            backup(entries, terms, profile, 7).unwrap();
        }
    }
}

/// R14: a hundred thousand entries of 16 submitters; none is lost and the last tenth is as fast as the first.
#[test]
fn many_entries_do_not_become_slower() {
    many_entries(100_000, 16, 3).unwrap();
}

/// N1, N2, N3 and N5: what a majority has committed stays, what a minority has taken goes.
#[test]
fn a_minority_commits_nothing() {
    for seed in 1..=10 {
        minority_value(3, seed, None).unwrap();
        minority_value(5, seed, None).unwrap();
    }
}

/// R13, trap 16: an entry that one node has lost is committed from another one.
#[test]
fn what_is_removed_may_still_be_committed() {
    for seed in 1..=10 {
        removed_and_committed(seed, None).unwrap();
    }
}

/// N4.
#[test]
fn partitions_come_again_and_again() {
    for seed in 1..=5 {
        repeated_partitions(seed).unwrap();
    }
}

/// P1 to P4 and C6: all nodes crash five times, without snapshots and with.
#[test]
fn all_nodes_crash() {
    for seed in 1..=3 {
        crash_all(0, seed).unwrap();
        crash_all(8, seed).unwrap();
    }
}

/// P6 and P7: crashes, cuts and losses under load. X1: what clients saw is linearizable.
#[test]
fn churn_loses_nothing() {
    for seed in 1..=5 {
        churn(Profile::REL, seed, None).unwrap();
        churn(Profile::U10, seed, None).unwrap();
        churn(Profile::U50, seed, None).unwrap();
    }
}

/// P9: figure 8 by chance, a tenth of the messages lost and then late replies.
#[test]
fn figure_8_by_chance() {
    for seed in 1..=3 {
        figure_8_unreliable(1_000, seed, None).unwrap();
    }
}

/// P9b: 49 commands, each agreed on in ten seconds.
#[test]
fn commands_are_agreed_on_under_loss() {
    for seed in 1..=3 {
        agreement_under_loss(Profile::U10, 49, seed).unwrap();
        agreement_under_loss(Profile::U50, 49, seed).unwrap();
    }
}

/// C1 to C5: a follower that was away, cut off or down, gets a snapshot; with losses and without.
#[test]
fn who_was_away_gets_a_snapshot() {
    for profile in [Profile::REL, Profile::U10] {
        for seed in 1..=3 {
            installs(false, profile, seed).unwrap();
            installs(true, profile, seed).unwrap();
        }
    }
}

/// X6: everything may come twice, and late.
#[test]
fn messages_come_twice_and_late() {
    for seed in 1..=20 {
        dup_and_reo(seed, None).unwrap();
    }
}

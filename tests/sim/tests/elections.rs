//! Elections in simulated clusters.
#![allow(clippy::unwrap_used)]

use traitwire_sim::plan::SECOND_US;
use traitwire_sim::scenarios::{
    first_leader, idle_under_heavy_loss, killed_leaders, many_elections, outdated_candidates, partial_cut,
    returning_node, rpc_counts, stands_alone,
};

/// E1, and E4 and E5 as in all runs: the first leader of three comes soon and leads a minute of rest.
#[test]
fn the_first_leader_comes_soon_and_stays() {
    let mut took_us: Vec<u64> = (1..=100).map(|seed| first_leader(seed, None).unwrap()).collect();
    took_us.sort_unstable();
    let p99_us = took_us[98];
    assert!(p99_us <= 3 * SECOND_US / 2, "{took_us:?}");
}

/// E2 and E3: five of five leaders and one more, then three of seven at random, are cut off; calls to them hang.
#[test]
fn many_leaders_are_cut_off() {
    for seed in 1..=5 {
        many_elections(5, 2, 5, seed).unwrap();
        many_elections(7, 3, 9, seed).unwrap();
    }
}

/// E6: the leader loses its power a hundred times, and there is another one soon.
#[test]
fn the_leader_is_killed_again_and_again() {
    let gaps_us = killed_leaders(100, 1).unwrap();
    assert!(gaps_us[50] <= 600_000 && gaps_us[98] <= 2 * SECOND_US, "{gaps_us:?}");
}

/// E7: an election and a rest cost few requests.
#[test]
fn requests_are_few() {
    for seed in 1..=20 {
        rpc_counts(seed).unwrap();
    }
}

/// E8: half of the requests and half of the replies are lost, and a leader leads all the same.
#[test]
fn a_leader_stays_under_heavy_loss() {
    for seed in 1..=3 {
        idle_under_heavy_loss(seed, None).unwrap();
    }
}

/// Trap 12: who cannot hear the leader ends no leadership while others can.
#[test]
fn a_partial_cut_ends_no_leadership() {
    for seed in 1..=5 {
        partial_cut(seed, None).unwrap();
        returning_node(seed, None).unwrap();
    }
}

/// Trap 1: nodes with old logs ask for votes in vain, and do not keep others from asking.
#[test]
fn outdated_candidates_keep_nobody_from_asking() {
    for seed in 1..=10 {
        outdated_candidates(seed, None).unwrap();
    }
}

/// R6: a leader without a majority stops leading.
#[test]
fn a_leader_that_is_cut_off_stops() {
    for seed in 1..=10 {
        stands_alone(seed, None).unwrap();
    }
}

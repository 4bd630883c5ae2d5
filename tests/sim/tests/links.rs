//! Slow, distant and reordering links in simulated clusters.
#![allow(clippy::unwrap_used)]

use traitwire_sim::network::{Profile, Span};
use traitwire_sim::scenarios::{
    empty_follower, far_away, large_entry, late_piece, overtaking, slow_period, snapshot_ahead_of_disk,
};

/// How long nodes with such links take to have their first leader, in most cases.
fn first_leaders(nodes: u64, profile: Profile, seeds: u64) -> u64 {
    let mut took_us: Vec<u64> = (1..=seeds)
        .map(|seed| far_away(nodes, profile, seed).unwrap_or_else(|it| panic!("seed {seed}: {it}")))
        .collect();
    took_us.sort_unstable();
    took_us[took_us.len() / 2]
}

#[test]
fn nodes_that_are_far_away_have_a_leader() {
    for nodes in [3, 5] {
        assert!(first_leaders(nodes, Profile::FAR, 60) < 5_000_000);
        assert!(first_leaders(nodes, Profile::SLOW, 60) < 5_000_000);
        // A round trip of up to 160 ms that is never the same.
        let uneven = Profile { delay_us: Span::new(10_000, 80_000), ..Profile::REL };
        assert!(first_leaders(nodes, uneven, 60) < 2_000_000);
    }
}

#[test]
fn a_large_entry_deposes_nobody() {
    for seed in 1..=5 {
        // 10 Mbit/s, 4 Mbit/s and 2 Mbit/s.
        for (bytes, bytes_per_s) in
            [(3_000_000, 1_250_000), (3_000_000, 500_000), (1_000_000, 250_000), (500_000, 200_000)]
        {
            large_entry(bytes, bytes_per_s, seed)
                .unwrap_or_else(|it| panic!("{bytes} {bytes_per_s} {seed}: {it}"));
        }
    }
}

#[test]
fn an_empty_follower_receives_a_large_snapshot() {
    for seed in 1..=2 {
        empty_follower(20 << 20, Profile::SLOW, seed).unwrap();
        let far = Profile { bytes_per_s: 12_500_000, ..Profile::FAR };
        empty_follower(20 << 20, far, seed).unwrap();
        let slower = Profile { bytes_per_s: 32_000, ..Profile::REL };
        empty_follower(1 << 20, slower, seed).unwrap();
    }
}

#[test]
fn messages_that_overtake_each_other_are_no_conflict() {
    for seed in 1..=20 {
        overtaking(seed).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
    }
}

#[test]
fn a_slow_period_is_forgotten() {
    for seed in 1..=20 {
        slow_period(seed).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
    }
}

#[test]
fn a_late_piece_restarts_nothing() {
    (1..=50).for_each(|seed| late_piece(seed, None).unwrap());
}

#[test]
fn a_snapshot_is_never_ahead_of_its_own_disk() {
    (1..=20).for_each(|seed| snapshot_ahead_of_disk(seed, None).unwrap());
}

//! Three deciders that share little must agree: the fast one, the search, and brute force on small histories.

mod support;

use fastrand::Rng;
use support::generate::{Load, corrupt, legal, random};
use support::{brute, generate};
use traitwire_checker::{History, Verdict, check, search};

const STEPS_MAX: u64 = 1_000_000;

/// Checks the history with all deciders and returns what they agree on.
fn agreed(seed: u64, history: &History) -> bool {
    let fast = check(history, STEPS_MAX);
    let slow = search(history, STEPS_MAX);
    let literal = brute::is_linearizable(history);
    let decided = !matches!(fast, Verdict::Unknown { .. }) && !matches!(slow, Verdict::Unknown { .. });
    assert!(
        decided && fast.is_legal() == literal && slow.is_legal() == literal,
        "seed {seed}: brute force says {literal}, the fast way {fast}, the search {slow}\n{:#?}",
        history.operations()
    );
    literal
}

#[test]
fn on_random_histories() {
    let mut legal = 0;
    for seed in 0..60_000 {
        let mut rng = Rng::with_seed(seed);
        let (calls, span) = (rng.usize(1..=6), rng.u64(1..12));
        legal += u32::from(agreed(seed, &random(&mut rng, calls, span)));
    }
    assert!((5_000..55_000).contains(&legal), "both kinds must be common, but {legal} of 60000 are legal");
}

#[test]
fn on_recorded_histories_and_corrupted_ones() {
    let mut corrupted_legal = 0;
    for seed in 0..15_000 {
        let mut rng = Rng::with_seed(seed);
        let load = Load::one_key(rng.usize(1..=4), rng.usize(1..=7), rng.u32(1..6));
        let recorded = legal(&mut rng, &load);
        assert!(
            agreed(seed, &recorded),
            "seed {seed}: a history recorded from a correct store was called illegal"
        );
        let mut bad = corrupt(&mut rng, &recorded);
        if rng.bool() {
            bad = corrupt(&mut rng, &bad);
        }
        corrupted_legal += u32::from(agreed(seed, &bad));
    }
    assert!(
        (1_500..13_500).contains(&corrupted_legal),
        "{corrupted_legal} of 15000 corrupted histories are legal"
    );
}

/// Too long for brute force, short enough for the search.
#[test]
fn on_longer_histories() {
    let (mut legal_ones, mut decided) = (0, 0);
    for seed in 0..600 {
        let mut rng = Rng::with_seed(seed);
        let load = Load::one_key(rng.usize(1..=6), rng.usize(20..=120), rng.u32(2..10));
        let recorded = legal(&mut rng, &load);
        assert!(check(&recorded, STEPS_MAX).is_legal(), "seed {seed}: a correct store was called illegal");
        for history in [corrupt(&mut rng, &recorded), recorded] {
            let fast = check(&history, STEPS_MAX);
            let slow = search(&history, 50_000);
            if matches!(slow, Verdict::Unknown { .. }) {
                continue;
            }
            assert_eq!(
                fast.is_legal(),
                slow.is_legal(),
                "seed {seed}: the fast way {fast}, the search {slow}"
            );
            decided += 1;
            legal_ones += u32::from(fast.is_legal());
        }
    }
    assert!(decided > 900, "the search decided only {decided} of 1200");
    assert!((500..1_100).contains(&legal_ones), "{legal_ones} of {decided} are legal");
}

/// Fifty thousand calls on three keys: the budget is a few steps a call, however many puts were left open.
#[test]
fn the_fast_way_takes_a_few_steps_a_call() {
    let calls = 50_000;
    let keys: Vec<_> = ["a", "b", "c"].map(str::to_owned).to_vec();
    for one_unclear_put_in in [3, 1_000] {
        let mut rng = Rng::with_seed(7);
        let load = Load { keys: keys.clone(), clients: 16, calls, one_unclear_put_in };
        let history = generate::legal(&mut rng, &load);
        assert_eq!(history.operations().len(), calls);
        let budget = 4 * calls as u64;
        assert!(check(&history, budget).is_legal());
        assert!(
            matches!(check(&history, calls as u64 / 4), Verdict::Unknown { .. }),
            "the budget is not counted"
        );
    }
}

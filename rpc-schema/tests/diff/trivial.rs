//! No false alarms: what means the same is the same, however it is written.

use super::random::{Random, rewrite, schema, types};
use super::{contract, findings};

/// How many random contracts are tried.
const SEEDS: u64 = 400;

#[test]
fn a_contract_is_like_itself() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let types = types(&mut random);
        let contract = contract(&schema(&mut random, 4), &types);
        assert_eq!(findings(&contract, &contract), [], "seed {seed}: {contract:#?}");
    }
}

#[test]
fn a_contract_in_other_words_is_the_same() {
    let mut rewritten = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let old_types = types(&mut random);
        let old_schema = schema(&mut random, 4);
        let (new_schema, new_types) = rewrite(&mut random, &old_schema, &old_types);
        rewritten += usize::from(old_schema != new_schema);
        let (old, new) = (contract(&old_schema, &old_types), contract(&new_schema, &new_types));
        let told = || format!("seed {seed}:\n{old_schema}\n{old_types}\n->\n{new_schema}\n{new_types}");
        assert_eq!(findings(&old, &new), [], "{}", told());
        assert_eq!(findings(&new, &old), [], "backwards, {}", told());
    }
    assert!(rewritten as u64 > SEEDS / 2, "only {rewritten} were written otherwise");
}

//! What the tests that run real processes share: the processes, the network between them, clusters of the store, and the
//! record of what clients saw.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod contention;
pub(crate) mod harness;
pub(crate) mod history;
pub(crate) mod kv_cluster;
pub(crate) mod machines;
pub(crate) mod network;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod script;
pub(crate) mod shaper;
pub(crate) mod wait;

/// The seed of a run's random choices: `TRAITWIRE_TEST_SEED`, or a new one each time. Whoever uses it prints it when the
/// test fails. It fixes what is drawn, not how processes interleave, so that it repeats the kind of run, not the run.
pub(crate) fn seed() -> u64 {
    match std::env::var("TRAITWIRE_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("TRAITWIRE_TEST_SEED={seed} is no number")),
        Err(_) => fastrand::u64(..),
    }
}

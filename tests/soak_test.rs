//! The soak itself: what it reports as a violation, and that its rounds get what they need.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "the command line of the soak uses the rest")]

mod common;

#[path = "soak/report.rs"]
mod report;
#[path = "soak/round.rs"]
mod round;
#[path = "soak/scenario.rs"]
mod scenario;

use std::time::{Duration, Instant};

use common::kv_cluster::drained;
use common::wait::{promised, until, within};
use report::Failure;
use round::{Soak, Unmet};
use scenario::Scenario;
use tokio::task::JoinSet;

/// What a round that ends like this is reported as.
async fn reported(round: impl Future<Output = ()> + Send + 'static) -> (Failure, String) {
    Failure::of(tokio::spawn(round).await.unwrap_err())
}

#[tokio::test]
async fn an_assertion_of_the_soak_is_not_a_violation() {
    let (failure, why) = reported(async { assert_eq!(1, 2, "the figures of two files differ") }).await;
    assert_eq!(failure, Failure::Harness);
    assert!(why.contains("the figures of two files differ"), "{why}");
    let (failure, _) = reported(async { drop(std::fs::read_dir("/no such folder").unwrap()) }).await;
    assert_eq!(failure, Failure::Harness);
    let (failure, _) = reported(async { std::panic::panic_any(7) }).await;
    assert_eq!(failure, Failure::Harness);
}

#[tokio::test]
async fn a_broken_promise_is_a_violation_wherever_it_is_found() {
    const NEVER: Duration = Duration::from_millis(10);
    let expected = |why: &str| (Failure::Violation, why.to_owned());
    let broken = || async { promised!(false, "key {} is lost", "k1") };
    assert_eq!(reported(broken()).await, expected("key k1 is lost"));
    let in_a_set = reported(async move {
        let mut clients = JoinSet::new();
        clients.spawn(broken());
        clients.join_all().await;
    });
    assert_eq!(in_a_set.await, expected("key k1 is lost"));
    let drained = reported(async move { drained(tokio::spawn(broken()), Instant::now()).await });
    assert_eq!(drained.await, expected("key k1 is lost"));

    let (failure, why) = reported(within(NEVER, "a reply", std::future::pending())).await;
    assert!(failure == Failure::Violation && why.ends_with("waited 10ms for a reply"), "{why}");
    let (failure, why) = reported(until(NEVER, "a leader", || async { None })).await;
    assert!(failure == Failure::Violation && why.contains(file!()) && why.ends_with("for a leader"), "{why}");
}

#[test]
fn each_failure_has_an_exit_code_of_its_own() {
    let codes = [Failure::Violation, Failure::PreconditionNotMet, Failure::Harness].map(Failure::exit_code);
    assert_eq!(codes, [1, 3, 4]);
    // The worst failure of a run decides.
    assert!(Failure::Violation > Failure::Harness && Failure::Harness > Failure::PreconditionNotMet);
}

/// However little time it has, a round goes on until what it needs has happened: here on the slowest networks.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_without_time_has_a_snapshot_and_a_put() {
    let mut soak = Soak::start().await;
    for scenario in [Scenario::CopiesAndLate, Scenario::LossHalf] {
        let measured = soak.round(7, scenario, Duration::ZERO).await.unwrap();
        assert!(measured.snapshot_moved > 0 && measured.operations > 0, "{scenario:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_lacks_a_snapshot_says_so() {
    const BOUND: Duration = Duration::from_millis(200);
    // 0 means that no snapshots are taken.
    let mut soak = Soak::start_with("0").await;
    let outcome = soak.round_within(1, Scenario::Calm, Duration::ZERO, BOUND).await;
    let Err(Unmet(why)) = outcome else { panic!("there was a snapshot") };
    assert!(why.contains("no node took a snapshot within 200ms"), "{why}");
}

//! What elections, rest and agreement cost in calls and bytes between nodes.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;

/// E7: what the first election costs, and what a cluster costs that has nothing to do.
#[tokio::test]
async fn elections_and_rest_are_cheap() {
    const FIRST_ELECTION_CALLS_MAX: u64 = 30;
    const REST: Duration = Duration::from_secs(3);
    const REST_CALLS_MAX: u64 = 60 * REST.as_secs();
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let first = cluster.traffic().calls;
    tokio::time::sleep(REST).await;
    let rest = cluster.traffic().calls - first;
    println!("{first} calls until the first leader was seen, then {} a second", rest / REST.as_secs());
    assert_eq!(cluster.leader().await, leader, "there was another election meanwhile");
    assert!(first <= FIRST_ELECTION_CALLS_MAX, "{first} calls");
    assert!(rest <= REST_CALLS_MAX, "{rest} calls");
    cluster.finish().await;
}

/// R5: each follower gets each record about once.
#[tokio::test]
async fn records_go_over_each_link_once() {
    const RECORD_BYTES: usize = 5_000;
    const BYTES_MAX: u64 = 200_000;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("before", 3).await;
    let before = cluster.traffic().bytes;
    for letter in "abcdefghij".chars() {
        cluster.agree(letter.to_string().repeat(RECORD_BYTES), 3).await;
    }
    let bytes = cluster.traffic().bytes - before;
    println!("{bytes} bytes for ten records of {RECORD_BYTES}");
    assert!(bytes >= 2 * 10 * RECORD_BYTES as u64, "{bytes} bytes are too few for two followers");
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    cluster.finish().await;
}

/// R10: ten records that come together do not cost ten times the calls.
#[tokio::test]
async fn records_that_come_together_go_together() {
    const RECORDS: u64 = 10;
    const CALLS_MAX: u64 = 42;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("before", 3).await;
    let (leader, term) = cluster.leader().await;
    let before = cluster.traffic().calls;
    let mut submitting = JoinSet::new();
    for number in 0..RECORDS {
        let node = cluster.node(leader);
        submitting.spawn(async move { node.append(&number.into()).await.unwrap().unwrap() });
    }
    let places = submitting.join_all().await;
    let last = places.iter().map(|place| place.index).max().unwrap();
    cluster.applied(&cluster.ids(), last).await;
    let calls = cluster.traffic().calls - before;
    println!("{calls} calls for {RECORDS} records");
    assert!(places.iter().all(|place| place.term == term), "there was an election meanwhile: {places:?}");
    assert!(calls <= CALLS_MAX, "{calls} calls");
    cluster.finish().await;
}

/// A follower that stands still is not sent the same records over and over: what it would have to read when it wakes up does
/// not grow with the time.
#[tokio::test]
async fn a_follower_that_stands_still_is_not_flooded() {
    const RECORD_BYTES: usize = 500_000;
    const TIME: Duration = Duration::from_secs(3);
    /// Once a second it may be tried whether the record goes through.
    const COPIES_MAX: u64 = 4;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (leader, _) = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.pause(follower).await;
    cluster.agree("a".repeat(RECORD_BYTES), 2).await;
    let before = cluster.traffic().bytes;
    tokio::time::sleep(TIME).await;
    let bytes = cluster.traffic().bytes - before;
    println!("{bytes} bytes in {TIME:?} for a record of {RECORD_BYTES} that the follower does not take");
    assert!(bytes <= COPIES_MAX * RECORD_BYTES as u64, "{bytes} bytes");
    cluster.finish().await;
}

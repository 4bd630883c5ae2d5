//! Agreement while nodes and leaders come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use traitwire::{Code, Executed};
use traitwire_kv::kv_raft::raft::COMMAND_BYTES_MAX;
use traitwire_kv::services::raft::Index;

use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::log_node::Place;
use crate::witness::View;

/// How long a cluster without a majority is watched for a commit that it must not make.
const WITHOUT_QUORUM_TIME: Duration = Duration::from_secs(2);

/// Watches for `time` that nothing is committed after `index`.
async fn nothing_is_committed_after(cluster: &Cluster, index: Index, time: Duration) {
    let further = |view: &View| (view.last_committed() > index).then(|| view.committed(index + 1).cloned());
    let committed = cluster.client.0.within(time, further).await;
    assert_eq!(committed, None, "a commit without a majority");
}

/// R1: records have the indices 1, 2, 3 in the order in which they were submitted, and what is not submitted is not there.
#[tokio::test]
async fn records_have_their_order() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    for index in 1..=3 {
        assert_eq!(cluster.committed(index), None, "before anybody has submitted it");
        assert_eq!(cluster.agree(index * 100, 3).await, index);
    }
    for id in cluster.ids() {
        let node = cluster.node(id);
        assert_eq!(node.get(2).await.unwrap(), Some(Value::from(200)));
        assert_eq!(node.get(4).await.unwrap(), None);
    }
    cluster.finish().await;
}

/// R2: followers fail one after the other. Two of three nodes go on, one does not.
#[tokio::test]
async fn one_follower_can_be_missed_but_not_two() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("all", 3).await;
    let (leader, _) = cluster.leader().await;
    let [first, second] = cluster.others(&[leader])[..] else { unreachable!() };
    cluster.cut(first);
    cluster.agree("two", 2).await;
    let before = cluster.agree("two again", 2).await;
    let (leader, _) = cluster.leader().await;
    cluster.cut(if leader == second { cluster.others(&[first, second])[0] } else { second });
    cluster.submit_to(leader, "one").await.expect("it does not know yet that it is alone");
    nothing_is_committed_after(&cluster, before, WITHOUT_QUORUM_TIME).await;
    cluster.finish().await;
}

/// R3: leaders fail one after the other. Two of three nodes go on, one does not.
#[tokio::test]
async fn one_leader_can_be_missed_but_not_two() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("all", 3).await;
    let (first, _) = cluster.leader().await;
    cluster.cut(first);
    cluster.agree("two", 2).await;
    let before = cluster.agree("two again", 2).await;
    let (second, _) = cluster.leader().await;
    cluster.cut(second);
    cluster.submit_to(second, "one").await.expect("it does not know yet that it is alone");
    cluster.no_leader().await;
    for id in cluster.ids() {
        assert_eq!(cluster.submit_to(id, "none").await, None, "node {id} reaches nobody");
    }
    nothing_is_committed_after(&cluster, before, WITHOUT_QUORUM_TIME).await;
    cluster.finish().await;
}

/// R4: a follower that was cut off has everything soon after it is back.
#[tokio::test]
async fn a_follower_that_is_back_catches_up() {
    const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(2);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("all", 3).await;
    let follower = cluster.others(&[cluster.leader().await.0])[0];
    cluster.cut(follower);
    for number in 0..20 {
        cluster.agree(number, 2).await;
    }
    cluster.heal(&[follower]);
    let healed_at = Instant::now();
    cluster.agree("all again", 3).await;
    assert!(healed_at.elapsed() <= CATCH_UP_TIME_MAX, "it took {:?}", healed_at.elapsed());
    cluster.finish().await;
}

/// R6: a leader without a majority takes a record at once and never commits it alone; afterwards the cluster goes on.
#[tokio::test]
async fn without_a_majority_nothing_is_committed() {
    tokio::join!(without_a_majority(3), without_a_majority(5));
}

async fn without_a_majority(nodes: usize) {
    const AT_ONCE: Duration = Duration::from_millis(500);
    const WITHOUT_QUORUM_TIME: Duration = Duration::from_secs(4);
    let cluster = Cluster::start(nodes, NetworkConfig::reliable()).await;
    let before = cluster.agree("all", nodes).await;
    let (leader, _) = cluster.leader().await;
    let missed = &cluster.others(&[leader])[..=nodes / 2];
    for id in &missed[..missed.len().min(nodes - 1)] {
        cluster.cut(*id);
    }
    let asked_at = Instant::now();
    let place = cluster.submit_to(leader, "alone").await.expect("it leads still");
    assert!(asked_at.elapsed() <= AT_ONCE, "it took {:?}", asked_at.elapsed());
    assert_eq!(place.index, before + 1);
    nothing_is_committed_after(&cluster, before, WITHOUT_QUORUM_TIME).await;
    cluster.heal(&cluster.ids());
    let index = cluster.agree("all again", nodes).await;
    assert!(index > before);
    cluster.finish().await;
}

/// The longest record that there may be goes to all nodes, also to one that needs several of them; a longer one is refused.
#[tokio::test]
async fn records_may_be_long() {
    // With its quotes it is as long as a command may be.
    let longest = |letter: &str| Value::from(letter.repeat(COMMAND_BYTES_MAX - 2));
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (leader, _) = cluster.leader().await;
    let follower = cluster.others(&[leader])[0];
    cluster.agree(longest("a"), 3).await;
    cluster.cut(follower);
    for letter in ["b", "c", "d"] {
        cluster.agree(longest(letter), 2).await;
    }
    cluster.heal(&[follower]);
    cluster.agree("short", 3).await;
    let longer = "e".repeat(COMMAND_BYTES_MAX - 1);
    let (leader, _) = cluster.leader().await;
    let refused = cluster.node(leader).append(&longer.into()).await.unwrap_err();
    assert_eq!((refused.code(), refused.executed()), (Code::InvalidArgument, Executed::No), "{refused}");
    cluster.finish().await;
}

/// R7: records that are submitted at the same time all get a place of their own.
#[tokio::test]
async fn records_that_come_together_all_have_a_place() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    for count in [5, 500] {
        all_have_a_place(&cluster, count).await;
    }
    cluster.finish().await;
}

async fn all_have_a_place(cluster: &Cluster, count: u64) {
    /// How often an election may come between.
    const TRIES: u32 = 5;
    for attempt in 0..TRIES {
        let (leader, term) = cluster.leader().await;
        let mut submitting = JoinSet::new();
        for number in 0..count {
            let node = cluster.node(leader);
            let record = Value::from(format!("{count}, {attempt}, {number}"));
            submitting.spawn(async move { (node.append(&record).await.unwrap(), record) });
        }
        let placed = submitting.join_all().await;
        let records: BTreeMap<Index, &Value> = placed
            .iter()
            .filter_map(|(place, record)| {
                place.filter(|place| place.term == term).map(|place: Place| (place.index, record))
            })
            .collect();
        if records.len() < placed.len() {
            let refused = placed.iter().any(|(place, _)| place.is_none_or(|place| place.term != term));
            assert!(refused, "two records have one index");
            continue;
        }
        let last = *records.last_key_value().unwrap().0;
        cluster.applied(&cluster.ids(), last).await;
        if cluster.leader().await.1 != term {
            continue;
        }
        for (index, record) in &records {
            assert_eq!(cluster.committed(*index).as_ref(), Some(*record), "at {index}");
        }
        let distinct: BTreeSet<_> = records.keys().collect();
        assert_eq!(distinct.len() as u64, count);
        return;
    }
    panic!("{TRIES} elections on a network without faults");
}

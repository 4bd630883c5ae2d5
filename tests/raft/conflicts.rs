//! Leaders that come back with records that nobody else has.

use serde_json::Value;
use tokio::task::JoinSet;
use traitwire_kv::services::raft::NodeId;

use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::witness::View;

/// Gives a leader without a majority so many records, at the same time and before it notices. It takes some at least.
async fn submit_in_vain(cluster: &Cluster, leader: NodeId, what: &str, count: usize) -> usize {
    let mut submitting = JoinSet::new();
    for number in 0..count {
        let node = cluster.node(leader);
        let record = Value::from(format!("in vain, {what}, {number}"));
        submitting.spawn(async move { node.append(&record).await.unwrap() });
    }
    let taken = submitting.join_all().await.into_iter().flatten().count();
    assert!(taken > 0, "node {leader} does not lead any more");
    taken
}

/// That nothing which was submitted in vain is committed anywhere.
fn none_in_vain(view: &View) {
    let in_vain = |record: &Value| record.as_str().is_some_and(|record| record.starts_with("in vain"));
    let wrong: Vec<_> = view.records().into_iter().filter(in_vain).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// R8: a leader that was cut off with records of its own gives them up, also when the one that has replaced it is cut off
/// meanwhile.
#[tokio::test]
async fn a_leader_that_was_cut_off_gives_its_own_records_up() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("all", 3).await;
    let (first, _) = cluster.leader().await;
    cluster.cut(first);
    submit_in_vain(&cluster, first, "first", 3).await;
    cluster.agree("without the first", 2).await;
    let (second, _) = cluster.leader().await;
    cluster.cut(second);
    cluster.heal(&[first]);
    cluster.agree("without the second", 2).await;
    cluster.heal(&[second]);
    cluster.agree("all again", 3).await;
    cluster.see(none_in_vain);
    cluster.finish().await;
}

/// R9: fifty records here conflict with fifty there, and again with fifty more.
#[tokio::test]
async fn fifty_records_that_conflict_are_given_up() {
    conflict(NetworkConfig::reliable(), 50).await;
}

/// R9: the same over a network that loses half of all messages.
#[tokio::test]
async fn records_that_conflict_are_given_up_with_half_of_all_messages_lost() {
    conflict(NetworkConfig::unreliable(), 50).await;
}

async fn conflict(config: NetworkConfig, count: usize) {
    let cluster = Cluster::start(5, config).await;
    cluster.agree("all", 5).await;
    // A leader and one follower are alone with their records.
    let (first, _) = cluster.leader().await;
    let [companion, c, d, e] = cluster.others(&[first])[..] else { unreachable!() };
    cluster.part(&[first, companion]);
    submit_in_vain(&cluster, first, "first", count).await;
    // The others go on,
    agree_all(&cluster, "without the first", count, 3).await;
    // and then they too lose one, and a leader and one follower are alone with theirs.
    let (second, _) = cluster.leader().await;
    let rest: Vec<_> = [c, d, e].into_iter().filter(|id| *id != second).collect();
    cluster.cut(rest[0]);
    submit_in_vain(&cluster, second, "second", count).await;
    cluster.cut(second);
    cluster.cut(rest[1]);
    // The first two come back to the one that has only what is committed.
    cluster.heal(&[first, companion, rest[0]]);
    agree_all(&cluster, "without the second", count, 3).await;
    cluster.heal(&cluster.ids());
    cluster.agree("all again", 5).await;
    cluster.see(none_in_vain);
    cluster.finish().await;
}

/// Brings so many records to an agreement, at the same time.
async fn agree_all(cluster: &Cluster, what: &str, count: usize, nodes: usize) {
    let mut agreeing = JoinSet::new();
    for number in 0..count {
        let client = cluster.client.clone();
        let record = format!("{what}, {number}");
        agreeing.spawn(async move { client.agree(record, nodes).await });
    }
    agreeing.join_all().await;
}

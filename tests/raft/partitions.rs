//! Networks in two parts: the majority decides, and nothing of the minority is ever seen on any node.

use serde_json::Value;
use traitwire_kv::services::raft::NodeId;

use crate::cluster::{Cluster, ELECTION_TIMEOUT};
use crate::common::network::NetworkConfig;
use crate::witness::View;

/// Takes the leader away with so many others, and gives it with those.
async fn part_with_leader(cluster: &Cluster, companions: usize) -> Vec<NodeId> {
    let (leader, _) = cluster.leader().await;
    let minority: Vec<_> =
        [leader].into_iter().chain(cluster.others(&[leader])).take(companions + 1).collect();
    cluster.part(&minority);
    minority
}

fn was_committed(cluster: &Cluster, record: &str) -> bool {
    cluster.see(|view| view.records().contains(&Value::from(record)))
}

/// N1, N2: of two leaders at the same time, only that of the majority commits.
#[tokio::test]
async fn the_leader_of_a_minority_commits_nothing() {
    for (nodes, companions) in [(3, 0), (5, 1)] {
        let cluster = Cluster::start(nodes, NetworkConfig::reliable()).await;
        cluster.agree("all", nodes).await;
        let minority = part_with_leader(&cluster, companions).await;
        let place = cluster.submit_to(minority[0], "of the minority").await.expect("it leads still");
        let index = cluster.agree("of the majority", nodes - companions - 1).await;
        assert_eq!(index, place.index, "both are in the same place");
        cluster.heal(&minority);
        cluster.agree("all again", nodes).await;
        assert_eq!(cluster.committed(index), Some("of the majority".into()));
        assert!(!was_committed(&cluster, "of the minority"));
        cluster.finish().await;
    }
}

/// N3: a leader alone leaves its place, and the others do not wait for it.
#[tokio::test]
async fn a_leader_alone_stops_leading() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (leader, term) = cluster.leader().await;
    cluster.part(&[leader]);
    let stands_aside = |view: &View| {
        let (_, state) = view.nodes[&leader].seen?;
        (!state.leads).then_some(state.term)
    };
    let wait = cluster.client.0.wait(ELECTION_TIMEOUT, "it stops leading", stands_aside);
    assert_eq!(wait.await, term, "it has left its place and its term");
    assert_eq!(cluster.submit_to(leader, "alone").await, None);
    cluster.agree("without it", 2).await;
    cluster.heal(&[leader]);
    cluster.agree("with it", 3).await;
    assert!(!was_committed(&cluster, "alone"));
    cluster.finish().await;
}

/// N4: four partitions one after the other, each with another minority.
#[tokio::test]
async fn partitions_follow_each_other() {
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    for round in 0..4 {
        let minority = if round % 2 == 0 {
            part_with_leader(&cluster, 1).await
        } else {
            let minority = random.choose_multiple(cluster.ids(), 2);
            cluster.part(&minority);
            minority
        };
        cluster.agree(format!("{round}, of the majority"), 3).await;
        cluster.heal(&minority);
    }
    cluster.agree("all", 5).await;
    cluster.finish().await;
}

/// N5: both sides have many records for the same places, and when the parts change, the next minority too.
#[tokio::test]
async fn records_of_minorities_are_never_seen() {
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    cluster.agree("all", 5).await;
    for round in 0..3 {
        let minority = part_with_leader(&cluster, 1).await;
        for number in 0..5 {
            // It may notice that it is alone before it has all of them.
            cluster.submit_to(minority[0], format!("of the minority, {round}, {number}")).await;
        }
        for number in 0..3 {
            cluster.agree(format!("of the majority, {round}, {number}"), 3).await;
        }
        cluster.heal(&minority);
    }
    cluster.agree("all again", 5).await;
    let records = cluster.see(View::records);
    let of_minority = |record: &&Value| record.as_str().unwrap().starts_with("of the minority");
    assert_eq!(records.iter().find(of_minority), None);
    cluster.finish().await;
}

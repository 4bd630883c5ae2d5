//! The replicated state machine in one process: nodes that call each other directly, with links that can be cut, and
//! storage in memory that outlives a node.
#![allow(clippy::unwrap_used)]

#[path = "rsm/cluster.rs"]
mod cluster;
#[path = "rsm/hostile.rs"]
mod hostile;
#[path = "rsm/states.rs"]
mod states;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::{Cluster, Count, NODES, PATIENCE, number};
use tokio::task::JoinSet;
use traitwire_kv::kv_raft::rsm::{Rsm, RsmError, RsmOptions};
use traitwire_kv::services::rsm::{ReplyErr, Ticket};

/// M1, M2, M8: each of a thousand equal commands at once counts once, and each is told a count that nobody else is.
#[tokio::test]
async fn equal_commands_at_once_are_all_different() {
    let cluster = Cluster::start(RsmOptions::default());
    for by in 1..=10 {
        cluster.add(by).await;
    }
    let leader = cluster.leader().await;
    let mut adding = JoinSet::new();
    for _ in 0..1_000 {
        let leader = leader.clone();
        adding.spawn(async move { leader.submit(&number(1), None).await.unwrap().get().parse().unwrap() });
    }
    let told: BTreeSet<u64> = adding.join_all().await.into_iter().collect();
    assert_eq!(told, (56..=1_055).collect());
    assert_eq!(leader.read(|count| count.count).await, Ok(1_055));
    cluster.all_count(1_055).await;
}

/// M3, M4: what a leader takes that is cut off is not acknowledged, its waiters are told within the time in which it notices,
/// and everything goes on without it and with it again.
#[tokio::test]
async fn a_leader_that_is_cut_off_tells_those_who_wait() {
    let cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let old = cluster.leader().await;
    let id = old.raft().status().leader.unwrap();
    cluster.cut(id);
    let mut lost = JoinSet::new();
    for _ in 0..100 {
        let old = old.clone();
        lost.spawn(async move { old.submit(&number(1_000), None).await });
    }
    let began = Instant::now();
    for outcome in lost.join_all().await {
        assert!(outcome.is_err_and(|error| error.may_be_submitted()));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "the last was told after {:?}", began.elapsed());
    assert!(matches!(
        old.read(|count| count.count).await,
        Err(ReplyErr::WrongLeader { submitted: false, .. })
    ));
    assert_eq!(cluster.add(1).await, 2);
    cluster.heal();
    assert_eq!(cluster.add(1).await, 3);
    cluster.all_count(3).await;
}

/// M5, M7: nodes that start again come to the same state, from the log or from a snapshot and what follows it.
#[tokio::test]
async fn a_restart_comes_to_the_same_state() {
    for snapshot_log_bytes in [0, 2_000] {
        let mut cluster = Cluster::start(RsmOptions { snapshot_log_bytes });
        for expected in 1..=100 {
            assert_eq!(cluster.add(1).await, expected);
        }
        for id in 1..=NODES {
            cluster.stop_node(id).await;
        }
        (1..=NODES).for_each(|id| cluster.start_node(id, Count::default()));
        assert_eq!(cluster.add(1).await, 101);
        cluster.all_count(101).await;
        let snapshot_index = cluster.leader().await.raft().status().snapshot_index;
        assert_eq!(snapshot_index > 0, snapshot_log_bytes > 0, "{snapshot_index}");
    }
}

/// A command with a ticket takes effect once, also when the leader has changed in between.
#[tokio::test]
async fn a_ticket_is_good_for_once() {
    let mut cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await;
    let session = leader.open_session().await.unwrap();
    let ticket = |number| Some(Ticket { session, number, answered_below: 1 });
    let submit = async |leader: &Rsm<Count>, number_of: u64| {
        leader.submit(&number(5), ticket(number_of)).await.map(|reply| reply.get().to_owned())
    };
    assert_eq!(submit(&leader, 1).await.unwrap(), "6");
    assert_eq!(submit(&leader, 1).await.unwrap(), "6");
    let id = leader.raft().status().leader.unwrap();
    drop(leader);
    cluster.stop_node(id).await;
    let leader = cluster.leader().await;
    assert_eq!(submit(&leader, 1).await.unwrap(), "6");
    assert_eq!(submit(&leader, 2).await.unwrap(), "11");
    let nobody = Some(Ticket { session: session ^ 1, number: 1, answered_below: 1 });
    assert_eq!(leader.submit(&number(5), nobody).await.unwrap_err(), ReplyErr::NoSession);
}

/// M6: who waits when a node stops is told.
#[tokio::test]
async fn a_node_that_stops_tells_those_who_wait() {
    let cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await;
    cluster.cut(leader.raft().status().leader.unwrap());
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let leader = leader.clone();
        waiting.spawn(async move { leader.submit(&number(1), None).await });
    }
    tokio::task::yield_now().await;
    leader.stop().await;
    let told = tokio::time::timeout(Duration::from_secs(1), waiting.join_all()).await.unwrap();
    assert!(told.iter().all(Result::is_err));
    assert!(leader.submit(&number(1), None).await.is_err());
}

/// A node whose replies are not the leader's stops, and the others go on.
#[tokio::test]
async fn a_node_that_goes_wrong_is_found_out() {
    let mut cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await.raft().status().leader.unwrap();
    let wrong = (1..=NODES).find(|id| *id != leader).unwrap();
    cluster.stop_node(wrong).await;
    cluster.start_node(wrong, Count::wrong(1));
    let leader = cluster.leader().await;
    let mut adding = JoinSet::new();
    for _ in 0..10_000 {
        let leader = leader.clone();
        adding.spawn(async move { leader.submit(&number(1), None).await.is_ok() });
    }
    assert!(adding.join_all().await.into_iter().all(|is_ok| is_ok));
    let ended = tokio::time::timeout(PATIENCE, cluster.nodes[&wrong].ended()).await.unwrap();
    assert!(matches!(*ended.unwrap_err(), RsmError::Diverged { .. }));
    assert_eq!(leader.read(|count| count.count).await, Ok(10_001));
}

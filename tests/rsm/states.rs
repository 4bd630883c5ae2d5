//! States that have gone wrong: a majority decides which ones are right, and nodes whose states cannot be used end with a
//! message.

use std::io;
use std::sync::atomic::Ordering;

use traitwire_kv::kv_raft::rsm::{RsmError, RsmOptions};
use traitwire_kv::services::raft::{Command, NodeId};
use traitwire_kv::services::rsm::{Agreement, ReplyErr};

use super::cluster::{Cluster, Count, Fault, number};

/// More entries than the nodes apply between two comparisons.
const MANY: u64 = 5_000;

fn ids(cluster: &Cluster) -> Vec<NodeId> {
    cluster.nodes.keys().copied().collect()
}

fn agreement(cluster: &Cluster, id: NodeId) -> Option<Agreement> {
    cluster.nodes[&id].state_check().map(|check| check.agreement)
}

fn make_wrong(cluster: &Cluster, id: NodeId, by: u64) {
    cluster.nodes[&id].peek(|count| count.wrong.store(by, Ordering::Relaxed));
}

/// Whichever node is wrong, and in clusters of three and five: it ends, and the others go on with the right state, also after
/// a restart of all of them. What was only in the memory of the wrong one is right again then.
#[tokio::test]
async fn a_node_that_is_wrong_ends_and_the_majority_goes_on() {
    for (nodes, is_leader, others_wrong) in [(3, true, 0), (3, false, 0), (5, true, 1), (5, false, 1)] {
        let mut cluster = Cluster::of(nodes, RsmOptions::default());
        cluster.add(1).await;
        let leader = cluster.leader().await.raft().id();
        let mut wrong: Vec<_> = ids(&cluster).into_iter().filter(|id| *id != leader).collect();
        wrong.truncate(if is_leader { others_wrong } else { others_wrong + 1 });
        if is_leader {
            wrong.push(leader);
        }
        for (by, id) in (1..).zip(&wrong) {
            make_wrong(&cluster, *id, by);
        }
        let uncertain = cluster.add_ones(MANY).await;
        for id in &wrong {
            let failure = cluster.failure(*id).await;
            let RsmError::Diverged { agreed, .. } = &*failure else { panic!("{failure}") };
            assert!(wrong.iter().all(|id| !agreed.contains(id)), "{agreed:?} are right, not {wrong:?}");
            assert_eq!(agreement(&cluster, *id), Some(Agreement::Differs));
        }
        let count = cluster.add(1).await;
        let possible = MANY + 2 - uncertain..=MANY + 2;
        assert!(possible.contains(&count), "{nodes} nodes, the leader is wrong: {is_leader}: {count}");
        for id in ids(&cluster).into_iter().filter(|id| !wrong.contains(id)) {
            assert_eq!(agreement(&cluster, id), Some(Agreement::Agreed));
        }
        cluster.restart().await;
        assert_eq!(cluster.add(1).await, count + 1);
        cluster.all_count(count + 1).await;
    }
}

/// Where no majority has the same state, nobody knows who is right: nobody ends, the leader says so, and it takes no
/// snapshot of a state that may be wrong.
#[tokio::test]
async fn without_a_majority_nobody_ends() {
    let cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 50_000 });
    cluster.add(1).await;
    (1..=2).for_each(|id| make_wrong(&cluster, id, id));
    cluster.add_ones(MANY).await;
    let leader = cluster.leader().await.raft().id();
    cluster.until("the leader says so", |it| agreement(it, leader) == Some(Agreement::Disputed)).await;
    cluster.add_ones(MANY).await;
    assert_eq!(cluster.leader().await.raft().status().snapshot_index, 0);
    assert!(cluster.nodes.values().all(|node| node.raft().status().commit_index > MANY));
}

/// A leader whose state is wrong gives it to nobody by a snapshot: where the other nodes that it hears of have another
/// state it takes none, so a node that was away gets the log, and is part of the majority that finds the leader out.
#[tokio::test]
async fn a_wrong_state_is_not_sent_to_others() {
    let cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 2_000 });
    cluster.add(1).await;
    let leader = cluster.leader().await.raft().id();
    let away = ids(&cluster).into_iter().find(|id| *id != leader).unwrap();
    cluster.cut(away);
    make_wrong(&cluster, leader, 1);
    for _ in 0..10 {
        cluster.add_ones(100).await;
        // Longer than a snapshot waits for the others.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    assert!(cluster.nodes[&leader].raft().status().commit_index > 1_000);
    cluster.heal();
    let uncertain = cluster.add_ones(MANY).await;
    assert!(matches!(*cluster.failure(leader).await, RsmError::Diverged { .. }));
    let count = cluster.add(1).await;
    assert!((MANY + 1_002 - uncertain..=MANY + 1_002).contains(&count), "{count}");
}

/// Nodes of a version that does not say what its state has come to are no majority for anything: nobody ends, and
/// snapshots are taken. Nor does anybody end because a leader of that version says what it has.
#[tokio::test]
async fn nodes_of_an_earlier_version_decide_nothing() {
    let cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 50_000 });
    cluster.board.0.lock().unwrap().silent.extend(1..=3);
    cluster.add(1).await;
    let leader = cluster.leader().await;
    let wrong = ids(&cluster).into_iter().find(|id| *id != leader.raft().id()).unwrap();
    make_wrong(&cluster, wrong, 1);
    cluster.add_ones(MANY).await;
    let claim = |digest: u32| {
        format!(r#"{{"id":{digest},"action":{{"compare":{{"index":4096,"digest":{digest}}}}}}}"#)
    };
    for digest in [1, 2, 3] {
        leader.raft().submit(Command::from_json(claim(digest)).unwrap()).await.unwrap();
    }
    assert_eq!(cluster.add(1).await, MANY + 2);
    cluster.until("a snapshot", |it| it.nodes[&leader.raft().id()].raft().status().snapshot_index > 0).await;
    assert!(cluster.nodes.values().all(|node| node.state_check().is_none()));
}

/// Whatever is in a committed entry, every node skips what is not a command, and so it does after a restart.
#[tokio::test]
async fn an_entry_that_is_not_a_command_is_skipped() {
    let mut cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for text in [
        "7",
        "null",
        "{}",
        "[]",
        "\"text\"",
        "\"\\ud800\"",
        "1e999",
        r#"{"id":1}"#,
        r#"{"id":-1,"action":"open_session"}"#,
        r#"{"id":1,"action":"unknown"}"#,
        r#"{"id":1,"action":{"run":{}}}"#,
        r#"{"id":1,"action":{"run":{"ticket":7,"command":1}}}"#,
        r#"{"id":1,"action":{"compare":{"index":1}}}"#,
        r#"{"id":18446744073709551616,"action":{"run":{"command":1}}}"#,
        &deep,
    ] {
        leader.raft().submit(Command::from_json(text.to_owned()).unwrap()).await.unwrap();
    }
    assert_eq!(cluster.add(1).await, 2);
    cluster.all_count(2).await;
    cluster.restart().await;
    assert_eq!(cluster.add(1).await, 3);
    cluster.all_count(3).await;
}

/// A state that cannot be restored ends the node with a message, whatever kind of error it is.
#[tokio::test]
async fn a_snapshot_that_cannot_be_restored_ends_the_node() {
    for kind in [io::ErrorKind::NotFound, io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof] {
        let mut cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 2_000 });
        cluster.add_ones(200).await;
        cluster.until("a snapshot", |it| it.nodes[&1].raft().status().snapshot_index > 0).await;
        cluster.stop_node(1).await;
        cluster.start_node(1, Count { fault: Some(Fault::Restore(kind)), ..Count::default() });
        let failure = cluster.failure(1).await;
        assert!(matches!(&*failure, RsmError::Snapshot { error, .. } if error.kind() == kind), "{failure}");
    }
}

/// A panic of the state machine ends the node, and whoever waits hears of it at once.
#[tokio::test]
async fn a_panic_of_the_state_machine_ends_the_node() {
    let cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await;
    let command = serde_json::value::RawValue::from_string("\"panic\"".into()).unwrap();
    let outcome = leader.submit(&command, None).await;
    assert!(matches!(outcome, Err(ReplyErr::NoAnswer { submitted: true, .. })), "{outcome:?}");
    assert!(matches!(*cluster.failure(leader.raft().id()).await, RsmError::Panicked));
    assert!(leader.submit(&number(1), None).await.is_err());
    assert!(leader.raft().inspect(|_| ()).await.is_none(), "the node underneath goes on");
}

/// So does a panic in the task that saves a snapshot, or where the snapshot begins.
#[tokio::test]
async fn a_panic_of_a_snapshot_ends_the_node() {
    let mut cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 2_000 });
    cluster.add(1).await;
    cluster.stop_node(2).await;
    cluster.start_node(2, Count { fault: Some(Fault::Snapshot), ..Count::default() });
    cluster.add_ones(200).await;
    assert!(matches!(*cluster.failure(2).await, RsmError::Panicked));
    cluster.add(1).await;
}

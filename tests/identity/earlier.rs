//! Folders of earlier versions, which neither have an identity nor name the members of their cluster.

use std::path::Path;
use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::Op;
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{Identity, RealDisk, Wal};
use traitwire_kv::services::raft::{Entry, NodeId, Payload};

use crate::common::machines::Machines;

/// A log as an earlier version has left it.
fn written(folder: &Path, node: NodeId, voted_for: NodeId) {
    let identity = Identity { cluster: "traitwire".to_owned(), node };
    let mut storage =
        Wal::open(Arc::new(RealDisk::new(folder).unwrap()), identity, WalOptions::default()).unwrap().storage;
    let entries = vec![Entry { term: 1, payload: Payload::Blank }; 3];
    let vote = Op::Vote { term: 1, voted_for: Some(voted_for) };
    storage.append(&[vote, Op::Append { first: 1, entries }]).unwrap();
    storage.sync().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_an_earlier_version_are_migrated_once() {
    let mut machines = Machines::new(3);
    for id in machines.ids() {
        written(&machines.data(id), id, 2);
    }
    let (code, error) = machines.fails_to_start(1, &[]).await;
    assert_eq!((code, error.contains("belongs to a cluster with node 2")), (1, true), "{error}");
    let peers = machines.peers([1, 2, 3]);
    // Two of them go on without the third, and without the id of a cluster.
    for id in [1, 2] {
        machines.start_with_peers(id, &peers, &[]).await;
        machines.process(id).logged(&["of an earlier version: it has an identity now"]).await;
    }
    machines.leader().await;
    machines.write(&[1, 2], "earlier").await;
    assert_eq!(machines.status(1).await.unwrap().cluster_id, None);
    machines.kill(1).await;
    machines.start(1, &[]).await;
    machines.start_with_peers(3, &peers, &[]).await;
    let status = machines.status_when(3, "one with a cluster id", |status| status.cluster_id.is_some()).await;
    for id in [1, 2] {
        machines.status_when(id, "in the same cluster", |it| it.cluster_id == status.cluster_id).await;
    }
    machines.kill_all().await;
    for id in machines.ids() {
        machines.start(id, &[]).await;
    }
    machines.leader().await;
    machines.settled().await;
    assert!(!machines.process(1).lines().iter().any(|line| line.contains("earlier version")));
    machines.write(&[1, 2, 3], "migrated").await;
    machines.check(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_of_an_earlier_version_goes_on() {
    let mut machines = Machines::new(1);
    written(&machines.data(1), 1, 1);
    machines.start(1, &[]).await;
    machines.leader().await;
    machines.status_when(1, "one with a cluster id", |status| status.cluster_id.is_some()).await;
    machines.write(&[1], "single").await;
    machines.kill(1).await;
    machines.start(1, &[]).await;
    machines.leader().await;
    machines.check(&[1]).await;
}

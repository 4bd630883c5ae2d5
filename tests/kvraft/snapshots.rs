//! Snapshots in the place of the log.

use std::time::Duration;

use traitwire::KvClient;

use crate::cluster::{Cluster, load, soon};
use crate::common::network::NetworkConfig;

/// C8: the log stays small, and a node that was away for long is caught up by a snapshot.
#[tokio::test]
async fn a_node_that_was_away_gets_a_snapshot() {
    let quiet = NetworkConfig::reliable();
    let mut cluster = Cluster::start_with(3, quiet.clone(), quiet, &["--snapshot-log-bytes", "20000"]).await;
    let client = cluster.client();
    let leader = cluster.leader().await;
    let away = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.kill(away).await;
    for version in 0..1_500 {
        assert_eq!(soon(client.put("k", &"v".repeat(100), version)).await, Ok(()));
    }
    let status = cluster.status(cluster.leader().await).await.unwrap();
    assert!(status.snapshot_index > 1_000, "{status:?}");
    std::fs::remove_dir_all(cluster.data(away)).unwrap();
    cluster.restart(away).await;
    let caught_up = cluster.caught_up(away, status.commit_index).await;
    assert!(caught_up.snapshot_index > 0, "it came without a snapshot: {caught_up:?}");
    // It can take over: the state that it got is whole.
    cluster.kill(leader).await;
    assert_eq!(soon(client.get("k")).await, Ok(("v".repeat(100), 1_500)));
    cluster.restart_all().await;
    assert_eq!(soon(client.get("k")).await, Ok(("v".repeat(100), 1_500)));
    cluster.recorder.check();
}

/// C11: snapshots all the time, while clients work over a network that loses a tenth.
#[tokio::test]
async fn snapshots_do_not_disturb() {
    let network = NetworkConfig::lossy();
    let cluster = Cluster::start_with(3, network.clone(), network, &["--snapshot-log-bytes", "2000"]).await;
    let clients = (0..10).map(|_| cluster.client()).collect();
    assert!(soon(load(clients, 20, Duration::from_secs(4))).await > 0);
    cluster.recorder.check();
}

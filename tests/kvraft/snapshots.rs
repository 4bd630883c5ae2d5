//! Snapshots in the place of the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use traitwire::KvClient;
use traitwire_kv::kv_raft::raft::storage::RealDisk;
use traitwire_kv::kv_raft::raft::storage::wal::inspect;

use crate::common::kv_cluster::{Cluster, load, soon};
use crate::common::network::NetworkConfig;
use crate::common::wait::until;

/// How long a node may take to remove the snapshot that a newer one replaces.
const PATIENCE: Duration = Duration::from_secs(5);

async fn start(nodes: u64, network: NetworkConfig, snapshot_log_bytes: &str) -> Cluster {
    let arguments = ["--snapshot-log-bytes", snapshot_log_bytes];
    Cluster::start_with(nodes, network.clone(), network, &arguments).await
}

/// The sizes of the snapshots in a node's folder.
pub(crate) fn snapshots(data: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(data).unwrap().map(Result::unwrap);
    let snapshots = files.filter(|file| file.path().extension().is_some_and(|it| it == "snap"));
    // One that a newer one replaces may go at this moment.
    snapshots.filter_map(|file| Some(file.metadata().ok()?.len())).collect()
}

/// Puts `puts` versions of each of some keys, at the same time.
async fn overwrite(cluster: &Cluster, keys: usize, puts: u64, value: &str) {
    let mut running = JoinSet::new();
    for key in 0..keys {
        let (client, value) = (cluster.client(), value.to_owned());
        running.spawn(async move {
            for version in 0..puts {
                assert_eq!(soon(client.put(&format!("k{key}"), &value, version)).await, Ok(()));
            }
        });
    }
    running.join_all().await;
}

/// That each key is at its last version.
async fn is_all_there(cluster: &Cluster, keys: usize, puts: u64, value: &str) {
    let client = cluster.client();
    for key in 0..keys {
        assert_eq!(soon(client.get(&format!("k{key}"))).await, Ok((value.to_owned(), puts)));
    }
}

/// M10, C9: a snapshot has the size of the state, here one key, the session of one client and three members, and not of its history; there
/// is one of them, and the state survives a crash of all.
#[tokio::test]
async fn a_snapshot_is_as_large_as_the_state() {
    const SNAPSHOT_BYTES_MAX: u64 = 900;
    const PUTS: u64 = 100;
    let mut cluster = start(3, NetworkConfig::reliable(), "1000").await;
    let client = cluster.client();
    for round in 0..3 {
        for version in round * PUTS..(round + 1) * PUTS {
            assert_eq!(soon(client.put("k", "value", version)).await, Ok(()));
        }
        cluster.restart_all().await;
        assert_eq!(soon(client.get("k")).await, Ok(("value".to_owned(), (round + 1) * PUTS)));
        let leader = cluster.leader().await;
        let status = cluster.status(leader).await.unwrap();
        for id in cluster.ids() {
            let caught_up = cluster.caught_up(id, status.commit_index).await;
            assert!(caught_up.snapshot_index >= (round + 1) * PUTS / 2, "{caught_up:?}");
            // A node that takes one right after its start has the one before until the new one is safe on its disk.
            until(PATIENCE, format!("node {id} to have one snapshot"), async || {
                let sizes = snapshots(&cluster.data(id));
                assert!(
                    sizes.iter().all(|size| *size <= SNAPSHOT_BYTES_MAX),
                    "node {id} has snapshots of {sizes:?} bytes"
                );
                (sizes.len() == 1).then_some(())
            })
            .await;
        }
    }
    cluster.finish().await;
}

/// C9: where snapshots are turned off, there are none.
#[tokio::test]
async fn without_a_bound_there_is_no_snapshot() {
    let mut cluster = start(3, NetworkConfig::reliable(), "0").await;
    overwrite(&cluster, 5, 40, "value").await;
    cluster.restart_all().await;
    is_all_there(&cluster, 5, 40, "value").await;
    for id in cluster.ids() {
        assert_eq!(snapshots(&cluster.data(id)), [0_u64; 0], "node {id}");
    }
    cluster.finish().await;
}

/// C8: a node that was away for longer than the logs reach is caught up by a snapshot, and can lead with it.
#[tokio::test]
async fn a_node_that_was_away_gets_a_snapshot() {
    const KEYS: usize = 15;
    const PUTS: u64 = 120;
    let mut cluster = start(3, NetworkConfig::reliable(), "20000").await;
    assert_eq!(soon(cluster.client().put("before", "v", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let (away, third) = (others[0], others[1]);
    let had = cluster.status(away).await.unwrap().last_log_index;
    cluster.kill(away).await;
    overwrite(&cluster, KEYS, PUTS, &"v".repeat(100)).await;
    let status = cluster.status(cluster.leader().await).await.unwrap();
    assert!(status.snapshot_index > had + 1_000, "its log may still reach: {status:?}, it had {had}");
    cluster.restart(away).await;
    let caught_up = cluster.caught_up(away, status.commit_index).await;
    assert!(caught_up.snapshot_index > had, "it came without a snapshot: {caught_up:?}");

    // Without the other one that knows, what it says is what it got.
    cluster.kill(third).await;
    is_all_there(&cluster, KEYS, PUTS, &"v".repeat(100)).await;
    cluster.kill(leader).await;
    cluster.restart(third).await;
    is_all_there(&cluster, KEYS, PUTS, &"v".repeat(100)).await;
    cluster.restart_all().await;
    is_all_there(&cluster, KEYS, PUTS, &"v".repeat(100)).await;
    cluster.finish().await;
}

/// C11: snapshots all the time, for one client and for twenty, while one message in ten is lost.
#[tokio::test]
async fn snapshots_do_not_disturb() {
    const TIME: Duration = Duration::from_secs(3);
    for count in [1, 20] {
        let mut cluster = start(3, NetworkConfig::lossy(), "2000").await;
        let clients = (0..count).map(|_| cluster.client()).collect();
        assert!(soon(load(clients, 20, TIME)).await > 0, "nothing was done at all");
        cluster.restart_all().await;
        for key in 0..20 {
            let _found = soon(cluster.client().get(&format!("k{key}"))).await;
        }
        cluster.finish().await;
    }
}

/// C8, M10: what stays of the log is bounded in bytes, also where entries are long, and also once nothing more is written: a
/// snapshot that took its time is followed by one of what was written meanwhile.
#[tokio::test]
async fn a_log_of_long_entries_stays_small() {
    const PUTS: u64 = 40;
    /// How long it may take until what is not needed is gone.
    const TIDY_TIMEOUT: Duration = Duration::from_secs(10);
    const VALUE_BYTES: usize = 1 << 20;
    let mut cluster = start(3, NetworkConfig::reliable(), "100000").await;
    overwrite(&cluster, 1, PUTS, &"v".repeat(VALUE_BYTES)).await;
    for id in cluster.ids() {
        // Any entry of this length is more than may stay before the next snapshot.
        until(TIDY_TIMEOUT, format!("node {id} to keep no long entry"), async || {
            entries_kept(&cluster.data(id)).iter().all(|bytes| *bytes < VALUE_BYTES as u64).then_some(())
        })
        .await;
    }
    cluster.restart_all().await;
    is_all_there(&cluster, 1, PUTS, &"v".repeat(VALUE_BYTES)).await;
    cluster.finish().await;
}

/// The bytes of each entry in a node's log that is not compacted.
fn entries_kept(data: &Path) -> Vec<u64> {
    let mut entries = BTreeMap::new();
    let inspected = inspect(&RealDisk::view(data), &mut |line| match (line.kind, line.index) {
        ("command", Some(index)) => _ = entries.insert(index, line.bytes),
        ("compact", Some(index)) => entries = entries.split_off(&(index + 1)),
        _ => {}
    });
    assert!(inspected.is_ok(), "{inspected:?}");
    entries.into_values().collect()
}

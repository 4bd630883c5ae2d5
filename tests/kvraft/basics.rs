//! What the cluster promises while at most one thing goes wrong.

use std::time::{Duration, Instant};

use traitwire::{KVError, KvClient};

use crate::cluster::{Cluster, load, soon};
use crate::common::network::NetworkConfig;

/// V1: exact results, and clients at the same time.
#[tokio::test]
async fn puts_and_gets_are_exact_and_clients_do_not_disturb_each_other() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.get("k")).await, Err(KVError::NoKey));
    assert_eq!(soon(client.put("k", "x", 3)).await, Err(KVError::NoKey));
    for version in 0..20 {
        assert_eq!(soon(client.put("k", &version.to_string(), version)).await, Ok(()));
    }
    assert_eq!(soon(client.put("k", "late", 3)).await, Err(KVError::Version));
    assert_eq!(soon(client.get("k")).await, Ok(("19".to_owned(), 20)));
    let clients = (0..5).map(|_| cluster.client()).collect();
    assert!(soon(load(clients, 3, Duration::from_secs(2))).await > 0);
    cluster.recorder.check();
}

/// V2: the leader is killed; the next put takes at most three seconds, and nothing is lost.
#[tokio::test]
async fn the_service_goes_on_without_its_leader() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "before", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let killed = Instant::now();
    assert_eq!(soon(client.put("k", "after", 1)).await, Ok(()));
    assert!(killed.elapsed() <= Duration::from_secs(3), "it took {:?}", killed.elapsed());
    assert_eq!(soon(client.get("k")).await, Ok(("after".to_owned(), 2)));
    cluster.restart(leader).await;
    let index = cluster.status(cluster.leader().await).await.unwrap().commit_index;
    cluster.caught_up(leader, index).await;
    cluster.recorder.check();
}

/// V3, V9: all nodes are killed and started again, three times; values and versions are kept.
#[tokio::test]
async fn everything_survives_a_crash_of_all_nodes() {
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let client = cluster.client();
    for round in 0..3 {
        for key in ["a", "b", "c"] {
            assert_eq!(soon(client.put(key, &format!("{key}{round}"), round)).await, Ok(()));
        }
        cluster.restart_all().await;
        for key in ["a", "b", "c"] {
            assert_eq!(soon(client.get(key)).await, Ok((format!("{key}{round}"), round + 1)));
        }
    }
    cluster.recorder.check();
}

/// V4: sequential puts. How long one takes is a benchmark's matter and only printed.
#[tokio::test]
async fn puts_one_after_the_other() {
    const PUTS: u64 = 300;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "first", 0)).await, Ok(()));
    let began = Instant::now();
    for version in 1..=PUTS {
        assert_eq!(soon(client.put("k", "next", version)).await, Ok(()));
    }
    println!("{PUTS} puts took {:?} each", began.elapsed() / u32::try_from(PUTS).unwrap());
    cluster.recorder.check();
}

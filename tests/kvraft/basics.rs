//! What the cluster promises while at most one thing goes wrong.

use std::time::{Duration, Instant};

use traitwire::{KVError, KvClient};

use crate::common::kv_cluster::{Cluster, load, soon};
use crate::common::network::NetworkConfig;

/// How long the next put may take when the leader is killed.
const NEXT_PUT_MAX: Duration = Duration::from_secs(3);

/// V1: exact results.
#[tokio::test]
async fn puts_and_gets_are_exact() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.get("k")).await, Err(KVError::NoKey));
    assert_eq!(soon(client.put("k", "x", 3)).await, Err(KVError::NoKey));
    for version in 0..20 {
        assert_eq!(soon(client.put("k", &version.to_string(), version)).await, Ok(()));
    }
    assert_eq!(soon(client.put("k", "late", 3)).await, Err(KVError::Version));
    assert_eq!(soon(client.get("k")).await, Ok(("19".to_owned(), 20)));
    cluster.finish().await;
}

/// V1: five clients at the same time, on five nodes.
#[tokio::test]
async fn clients_work_at_the_same_time() {
    const TIME: Duration = Duration::from_secs(2);
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let clients = (0..5).map(|_| cluster.client()).collect();
    assert!(soon(load(clients, 3, TIME)).await > 0, "nothing was done at all");
    cluster.finish().await;
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
    println!("the leader was killed; the next put took {:?}", killed.elapsed());
    assert!(killed.elapsed() <= NEXT_PUT_MAX, "it took {:?}", killed.elapsed());
    assert_eq!(soon(client.get("k")).await, Ok(("after".to_owned(), 2)));
    cluster.restart(leader).await;
    cluster.finish().await;
}

/// V2: the same when the leader hangs, so that nobody says that it is gone.
#[tokio::test]
async fn the_service_goes_on_while_its_leader_hangs() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "before", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    cluster.nodes[&leader].signal("STOP").await;
    let stopped = Instant::now();
    assert_eq!(soon(client.put("k", "after", 1)).await, Ok(()));
    println!("the leader hangs; the next put took {:?}", stopped.elapsed());
    assert!(stopped.elapsed() <= NEXT_PUT_MAX, "it took {:?}", stopped.elapsed());
    cluster.nodes[&leader].signal("CONT").await;
    cluster.finish().await;
}

/// V2: the same for a client that knows only one node, which does not lead and passes calls on.
#[tokio::test]
async fn one_node_is_enough_to_know() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let leader = cluster.leader().await;
    let client = cluster.client_of(cluster.others(leader)[0]);
    assert_eq!(soon(client.put("k", "before", 0)).await, Ok(()));
    cluster.kill(leader).await;
    let killed = Instant::now();
    // A put that was on its way to the old leader may have been done by it.
    assert!(matches!(soon(client.put("k", "after", 1)).await, Ok(()) | Err(KVError::Maybe)));
    assert!(killed.elapsed() <= NEXT_PUT_MAX, "it took {:?}", killed.elapsed());
    assert_eq!(soon(client.get("k")).await, Ok(("after".to_owned(), 2)));
    cluster.restart(leader).await;
    cluster.finish().await;
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
    cluster.finish().await;
}

/// V4: sequential puts. How long one takes is a benchmark's matter and only printed.
#[tokio::test]
async fn puts_one_after_the_other() {
    const PUTS: u64 = 200;
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let client = cluster.client();
    assert_eq!(soon(client.put("k", "first", 0)).await, Ok(()));
    let began = Instant::now();
    for version in 1..=PUTS {
        assert_eq!(soon(client.put("k", "next", version)).await, Ok(()));
    }
    println!("{PUTS} puts took {:?} each", began.elapsed() / u32::try_from(PUTS).unwrap());
    cluster.finish().await;
}

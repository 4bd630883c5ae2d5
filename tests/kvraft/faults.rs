//! Partitions, crashes and loss, alone and together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use traitwire::{Executed, KVError, KvClient};
use traitwire_kv::services::kv::{Kv, KvStub, PutArgs};

use crate::cluster::{Cluster, load, soon};
use crate::common::network::NetworkConfig;

/// How long clients work through the faults.
const LOAD_TIME: Duration = Duration::from_secs(4);

/// M4: commands at a leader that only clients reach. None is acknowledged, and all are answered within a second of the heal.
#[tokio::test]
async fn a_leader_that_is_cut_off_acknowledges_nothing() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    assert_eq!(soon(cluster.client().put("k", "x", 0)).await, Ok(()));
    let leader = cluster.leader().await;
    cluster.cut(leader);
    let stub = KvStub::new(cluster.line(leader));
    let mut puts = tokio::task::JoinSet::new();
    for put in 0..100 {
        let stub = stub.clone();
        puts.spawn(async move {
            stub.put(PutArgs { key: format!("lost-{put}"), value: String::new(), version: 0 }).await
        });
    }
    let others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
    cluster.leader_among(&others).await;
    cluster.heal();
    let healed = Instant::now();
    while let Some(put) = soon(puts.join_next()).await {
        let result = put.unwrap();
        // A put that was refused without being executed may have found the new leader after the heal.
        if let Err(error) = result {
            assert!(matches!(error.executed(), Executed::Unknown | Executed::No), "{error}");
        }
    }
    assert!(healed.elapsed() <= Duration::from_secs(3), "the last answer came {:?} later", healed.elapsed());
}

/// V7: half of all requests and half of all replies are lost everywhere; no put takes longer than five seconds at the 95th
/// of a hundred.
#[tokio::test]
async fn half_of_everything_is_lost() {
    let cluster = Cluster::start(5, NetworkConfig::unreliable()).await;
    let client = cluster.client();
    let mut times = Vec::new();
    let mut version = 0;
    for put in 0..20 {
        let began = Instant::now();
        match soon(client.put("k", &put.to_string(), version)).await {
            Ok(()) => version += 1,
            Err(KVError::Maybe) => version = soon(client.get("k")).await.map_or(0, |(_, version)| version),
            Err(other) => panic!("the only client was refused: {other:?}"),
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("half is lost: p50 {:?}, p95 {:?}", times[10], times[18]);
    assert!(times[18] <= Duration::from_secs(5), "{times:?}");
    cluster.recorder.check();
}

/// V8: the nodes are parted anew again and again.
#[tokio::test]
async fn partitions_come_and_go() {
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let clients: Vec<_> = (0..5).map(|_| cluster.client()).collect();
    let loading = tokio::spawn(load(clients, 3, LOAD_TIME));
    let end = Instant::now() + LOAD_TIME;
    while Instant::now() < end {
        let mut ids = cluster.ids();
        fastrand::shuffle(&mut ids);
        cluster.part(&ids[..fastrand::usize(1..3)]);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..900))).await;
    }
    cluster.heal();
    assert!(soon(loading).await.unwrap() > 0);
    cluster.recorder.check();
}

/// Clients work while nodes are killed, started again and, where it is asked for, parted.
async fn chaos(nodes: u64, clients: usize, keys: usize, network: NetworkConfig, parts: bool, more: &[&str]) {
    let mut cluster = Cluster::start_with(nodes, network.clone(), network, more).await;
    let clients: Vec<_> = (0..clients).map(|_| cluster.client()).collect();
    let over = Arc::new(AtomicBool::new(false));
    let loading = tokio::spawn({
        let over = over.clone();
        async move {
            let done = load(clients, keys, LOAD_TIME).await;
            over.store(true, Ordering::Relaxed);
            done
        }
    });
    let end = Instant::now() + LOAD_TIME;
    while Instant::now() < end {
        let ids = cluster.ids();
        if parts {
            let mut shuffled = ids.clone();
            fastrand::shuffle(&mut shuffled);
            cluster.part(&shuffled[..fastrand::usize(1..=ids.len() / 2)]);
        }
        let victim = ids[fastrand::usize(..ids.len())];
        cluster.kill(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..500))).await;
        cluster.restart(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..500))).await;
    }
    cluster.heal();
    assert!(soon(loading).await.unwrap() > 0, "nothing was done at all");
    assert!(over.load(Ordering::Relaxed));
    // What is acknowledged is still there when all have crashed.
    cluster.restart_all().await;
    let client = cluster.client();
    for key in 0..keys {
        let _found = soon(client.get(&format!("k{key}"))).await;
    }
    cluster.recorder.check();
}

/// V10: crashes and partitions.
#[tokio::test]
async fn nodes_crash_and_are_parted() {
    chaos(5, 3, 3, NetworkConfig::reliable(), true, &[]).await;
}

/// V12: crashes over networks that lose a tenth, and a half.
#[tokio::test]
async fn nodes_crash_while_messages_are_lost() {
    chaos(5, 5, 3, NetworkConfig::lossy(), false, &[]).await;
    chaos(3, 5, 3, NetworkConfig::unreliable(), false, &[]).await;
}

/// V13, V14, C12: everything at once, with many clients, many keys, seven nodes and small snapshots.
#[tokio::test]
async fn everything_goes_wrong_at_once() {
    chaos(7, 15, 100, NetworkConfig::lossy(), true, &["--snapshot-log-bytes", "20000"]).await;
}

/// X6: copies and late replies everywhere.
#[tokio::test]
async fn messages_come_twice_and_late() {
    let network = NetworkConfig::reliable().with_duplicates().with_late_replies();
    let cluster = Cluster::start(3, network).await;
    let clients = (0..5).map(|_| cluster.client()).collect();
    assert!(soon(load(clients, 2, LOAD_TIME)).await > 0);
    cluster.recorder.check();
}

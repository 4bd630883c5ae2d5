//! The lock over the cluster.

use std::time::{Duration, Instant};

use traitwire_kv::lock::{Lock, Released};

use crate::common::contention::contend;
use crate::common::kv_cluster::{Cluster, soon};
use crate::common::network::NetworkConfig;

fn locks(cluster: &Cluster, count: usize) -> Vec<Lock> {
    (0..count).map(|_| Lock::new(cluster.client(), "l")).collect()
}

/// V15: once, twenty times over, and one inside the other.
#[tokio::test]
async fn a_lock_is_taken_and_freed() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let [outer, inner] = ["outer", "inner"].map(|name| Lock::new(cluster.client(), name));
    assert_eq!(soon(outer.release()).await, Released::NotHeld);
    let mut latest = 0;
    for _ in 0..20 {
        let token = soon(outer.acquire()).await;
        assert!(token > latest, "token {token} came after {latest}");
        latest = token;
        soon(inner.acquire()).await;
        assert_eq!(soon(inner.release()).await, Released::Freed);
        assert_eq!(soon(outer.release()).await, Released::Freed);
        assert_eq!(soon(outer.release()).await, Released::NotHeld);
    }
    cluster.finish().await;
}

/// V16, V17: clients take turns, from one to thirty-two, and all get theirs.
#[tokio::test]
async fn clients_take_turns() {
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    for (count, seconds) in [(1, 1), (2, 1), (5, 1), (32, 6)] {
        let cycles = contend(locks(&cluster, count), Duration::from_secs(seconds)).await;
        assert!(cycles.iter().all(|cycles| *cycles >= 1), "{cycles:?}");
    }
    cluster.finish().await;
}

/// V18, V19: half of everything is lost, for one client, two and eight.
#[tokio::test]
async fn one_holder_at_a_time_while_half_is_lost() {
    let cluster = Cluster::start(5, NetworkConfig::unreliable()).await;
    for (count, seconds) in [(1, 1), (2, 2), (8, 4)] {
        let cycles = contend(locks(&cluster, count), Duration::from_secs(seconds)).await;
        println!("half is lost: {count} clients held the lock {cycles:?} times");
        assert!(cycles.iter().sum::<u64>() >= 1, "{cycles:?}");
    }
    cluster.finish().await;
}

/// V20: nodes are killed and started again all the time.
#[tokio::test]
async fn one_holder_at_a_time_while_nodes_crash() {
    contend_in_chaos(NetworkConfig::reliable(), 2).await;
}

/// V22: the same while half of everything is lost.
#[tokio::test]
async fn one_holder_at_a_time_while_nodes_crash_and_half_is_lost() {
    contend_in_chaos(NetworkConfig::unreliable(), 4).await;
}

/// Clients fight for the lock while, every 25 to 100 ms, a node is killed or started again.
async fn contend_in_chaos(network: NetworkConfig, clients: usize) {
    const TIME: Duration = Duration::from_secs(4);
    let mut cluster = Cluster::start(5, network).await;
    let contending = tokio::spawn(contend(locks(&cluster, clients), TIME));
    let end = Instant::now() + TIME;
    let pause = async || tokio::time::sleep(Duration::from_millis(fastrand::u64(25..100))).await;
    while Instant::now() < end {
        let victim = fastrand::u64(1..=5);
        cluster.kill(victim).await;
        pause().await;
        cluster.restart(victim).await;
        pause().await;
    }
    let cycles = soon(contending).await.unwrap();
    println!(
        "nodes crash: {clients} clients held the lock {cycles:?} times, the last {:?} later",
        end.elapsed()
    );
    cluster.finish().await;
}

/// V21: held over a crash of the leader, freed and handed over within five seconds.
#[tokio::test]
async fn a_lock_is_held_over_a_crash_of_the_leader() {
    const HAND_OVER_MAX: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let [one, other] = [(); 2].map(|()| Lock::new(cluster.client(), "l"));
    let first = soon(one.acquire()).await;
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let began = Instant::now();
    assert_eq!(soon(one.release()).await, Released::Freed);
    assert!(soon(other.acquire()).await > first, "the tokens do not rise");
    println!("the leader was killed; freed and handed over after {:?}", began.elapsed());
    assert!(began.elapsed() <= HAND_OVER_MAX, "it took {:?}", began.elapsed());
    cluster.restart(leader).await;
    cluster.finish().await;
}

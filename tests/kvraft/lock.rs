//! The lock over the cluster.

use std::time::{Duration, Instant};

use traitwire_kv::lock::{Lock, Released};

use crate::cluster::{Cluster, soon};
use crate::common::contention::contend;
use crate::common::network::NetworkConfig;

fn locks(cluster: &Cluster, count: usize) -> Vec<Lock> {
    (0..count).map(|_| Lock::new(cluster.client(), "l")).collect()
}

/// V15, V16, V17: in turn, for one, five and sixteen clients.
#[tokio::test]
async fn clients_take_turns() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    for count in [1, 5, 16] {
        let cycles = contend(locks(&cluster, count), Duration::from_secs(2)).await;
        assert!(cycles.iter().sum::<u64>() >= count as u64, "{cycles:?}");
    }
    cluster.recorder.check();
}

/// V18, V19: half of everything is lost.
#[tokio::test]
async fn one_holder_at_a_time_while_half_is_lost() {
    let cluster = Cluster::start(5, NetworkConfig::unreliable()).await;
    contend(locks(&cluster, 8), Duration::from_secs(5)).await;
    cluster.recorder.check();
}

/// V20: nodes are killed and started again all the time.
#[tokio::test]
async fn one_holder_at_a_time_while_nodes_crash() {
    const TIME: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let contending = tokio::spawn(contend(locks(&cluster, 2), TIME));
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        let victim = fastrand::u64(1..=5);
        cluster.kill(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(25..100))).await;
        cluster.restart(victim).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(25..100))).await;
    }
    soon(contending).await.unwrap();
    cluster.recorder.check();
}

/// V21: held over a crash of the leader, freed and handed over within five seconds.
#[tokio::test]
async fn a_lock_is_held_over_a_crash_of_the_leader() {
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let [one, other] = [(); 2].map(|()| Lock::new(cluster.client(), "l"));
    let first = soon(one.acquire()).await;
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let began = Instant::now();
    assert_eq!(soon(one.release()).await, Released::Freed);
    assert!(soon(other.acquire()).await > first, "the tokens do not rise");
    assert!(began.elapsed() <= Duration::from_secs(5), "it took {:?}", began.elapsed());
    cluster.recorder.check();
}

//! Clients that go on while nodes crash, lose their links and come back, at random.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use traitwire_kv::services::raft::NodeId;

use crate::client::{AGREEMENT_TIMEOUT, Client};
use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::witness::{Process, View};

/// P6: churn on a network without faults.
#[tokio::test]
async fn what_clients_saw_committed_survives_churn() {
    churn(NetworkConfig::reliable()).await;
}

/// P7: churn on a network that loses and delays.
#[tokio::test]
async fn what_clients_saw_committed_survives_churn_on_a_bad_network() {
    churn(NetworkConfig::lossy()).await;
}

/// X6: churn on a network that also brings messages twice, and replies seconds too late and out of order.
#[tokio::test]
async fn what_clients_saw_committed_survives_churn_and_messages_out_of_order() {
    churn(NetworkConfig::lossy().with_duplicates().with_late_replies()).await;
}

async fn churn(config: NetworkConfig) {
    const CLIENTS: u32 = 3;
    const ROUNDS: u32 = 14;
    const ROUND_TIME: Duration = Duration::from_millis(450);
    let mut cluster = Cluster::start(5, config).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(submit_until(cluster.client.clone(), number, Arc::clone(&stop)));
    }
    for _ in 0..ROUNDS {
        disturb(&mut cluster, &mut random).await;
        tokio::time::sleep(ROUND_TIME).await;
    }
    stop.store(true, Ordering::Relaxed);
    cluster.heal(&cluster.ids());
    for id in cluster.ids() {
        cluster.bring_back(id).await;
    }
    let seen = clients.join_all().await;
    cluster.agree("after the churn", 5).await;
    let records: BTreeSet<_> = cluster.see(View::records).iter().map(Value::to_string).collect();
    for (client, seen) in seen.into_iter().enumerate() {
        assert!(!seen.is_empty(), "client {client} has committed nothing");
        let lost: Vec<_> = seen.iter().filter(|record| !records.contains(&record.to_string())).collect();
        assert!(lost.is_empty(), "client {client} saw these committed: {lost:?}");
    }
    cluster.finish().await;
}

/// Cuts a node off, kills it or stops it, or brings one back, or several of these.
async fn disturb(cluster: &mut Cluster, random: &mut fastrand::Rng) {
    let ids = cluster.ids();
    let mut any = |share: f64| (random.f64() < share).then(|| random.choice(ids.iter().copied()).unwrap());
    let (cut, back, killed, stopped) = (any(0.2), any(0.7), any(0.3), any(0.1));
    if let Some(id) = cut {
        cluster.cut(id);
    }
    if let Some(id) = back {
        cluster.bring_back(id).await;
        cluster.heal(&[id]);
    }
    let runs = |id: &NodeId, cluster: &Cluster| cluster.process(*id) == Process::Running;
    if let Some(id) = killed.filter(|id| runs(id, cluster)) {
        cluster.kill(id).await;
    }
    if let Some(id) = stopped.filter(|id| runs(id, cluster)) {
        cluster.pause(id).await;
    }
}

/// Submits records until it is told to stop, and gives those that it saw committed, at least one.
async fn submit_until(client: Client, number: u32, stop: Arc<AtomicBool>) -> Vec<Value> {
    let mut committed = Vec::new();
    let mut last_chance = None;
    for count in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            let chance = *last_chance.get_or_insert_with(|| Instant::now() + AGREEMENT_TIMEOUT);
            if !committed.is_empty() || Instant::now() >= chance {
                break;
            }
        }
        let record = Value::from(format!("client {number}, {count}"));
        let patience = Instant::now() + Duration::from_secs(1);
        if client.try_agree(&record, 1, patience).await.is_some() {
            committed.push(record);
        }
    }
    committed
}

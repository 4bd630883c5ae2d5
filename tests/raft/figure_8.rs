//! Figure 8 of the Raft paper, by brute force: leaders fail right after they have taken a record, so that entries of old
//! terms lie on some nodes, perhaps on a majority, and may or may not be committed.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use traitwire_kv::services::raft::NodeId;

use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::witness::Process;

/// How long a leader lives after it has taken a record: mostly too short to send it to anybody.
fn short_life(random: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(if random.u8(0..10) == 0 { random.u64(0..150) } else { random.u64(0..13) })
}

/// Gives a record to every node that leads, or believes so, and gives one of them.
async fn submit_to_leaders(cluster: &Cluster, record: Value) -> Option<NodeId> {
    let mut took = None;
    for id in cluster.ids() {
        // A node that was just killed, or hangs, takes nothing.
        if cluster.process(id) == Process::Running
            && matches!(cluster.node(id).append(&record).await, Ok(Some(_)))
        {
            took = Some(id);
        }
    }
    took
}

/// Waits for a leader, every other time: if there is none to wait for, things go on as well.
async fn perhaps_a_leader(cluster: &Cluster, random: &mut fastrand::Rng) {
    /// Longer than an election takes when a majority is there.
    const PATIENCE: Duration = Duration::from_secs(1);
    let is_there = |id: &NodeId| cluster.process(*id) == Process::Running && !cluster.is_cut(*id);
    let has_majority = 2 * cluster.ids().iter().filter(|id| is_there(id)).count() > cluster.size();
    if has_majority && random.bool() {
        let since = Instant::now();
        let _leader = cluster.client.0.within(PATIENCE, |view| view.leader(since)).await;
    }
}

/// P8: leaders are killed. `RAFT_FIGURE_8` says how often it is tried.
#[tokio::test]
async fn leaders_that_are_killed_lose_nothing_committed() {
    let iterations = crate::count("RAFT_FIGURE_8", 100);
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    cluster.agree("first", 1).await;
    let mut kills = 0;
    for iteration in 0..iterations {
        perhaps_a_leader(&cluster, &mut random).await;
        let leader = submit_to_leaders(&cluster, iteration.into()).await;
        tokio::time::sleep(short_life(&mut random)).await;
        if let Some(leader) = leader {
            cluster.kill(leader).await;
            kills += 1;
        }
        let is_down = |id: &NodeId| cluster.process(*id) == Process::Down;
        let down: Vec<_> = cluster.ids().into_iter().filter(is_down).collect();
        if down.len() > 2 {
            cluster.restart(random.choice(down).unwrap()).await;
        }
    }
    println!("{kills} leaders were killed in {iterations} iterations");
    assert!(kills > 0, "no leader was killed");
    cluster.finish().await;
}

/// P9: leaders lose their links, on a network that loses and delays, and later also brings replies seconds too late.
#[tokio::test]
async fn leaders_that_are_cut_off_on_a_bad_network_lose_nothing_committed() {
    const ITERATIONS: u32 = 100;
    const REPLIES_ARE_LATE_FROM: u32 = 20;
    let cluster = Cluster::start(5, NetworkConfig::lossy()).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    cluster.agree("first", 1).await;
    let mut cuts = 0;
    for iteration in 0..ITERATIONS {
        if iteration == REPLIES_ARE_LATE_FROM {
            cluster.set_network(&NetworkConfig::lossy().with_late_replies());
        }
        perhaps_a_leader(&cluster, &mut random).await;
        let leader = submit_to_leaders(&cluster, iteration.into()).await;
        tokio::time::sleep(short_life(&mut random)).await;
        if let Some(leader) = leader.filter(|leader| !cluster.is_cut(*leader) && random.bool()) {
            cluster.cut(leader);
            cuts += 1;
        }
        let cut: Vec<_> = cluster.ids().into_iter().filter(|id| cluster.is_cut(*id)).collect();
        if cut.len() > 2 {
            cluster.heal(&[random.choice(cut).unwrap()]);
        }
    }
    println!("{cuts} leaders were cut off in {ITERATIONS} iterations");
    assert!(cuts > 0, "no leader was cut off");
    cluster.finish().await;
}

/// P9b: many records, a few at a time, on networks that lose a tenth and a half of all messages.
#[tokio::test]
async fn agreement_is_reached_on_bad_networks() {
    tokio::join!(agree_in_fives(NetworkConfig::lossy(), 49), agree_in_fives(NetworkConfig::unreliable(), 12));
}

async fn agree_in_fives(config: NetworkConfig, rounds: u32) {
    let cluster = Cluster::start(5, config).await;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let mut agreeing = JoinSet::new();
        for number in 0..5 {
            let client = cluster.client.clone();
            agreeing.spawn(async move {
                let started_at = Instant::now();
                client.agree(format!("{round}, {number}"), 1).await;
                started_at.elapsed()
            });
        }
        slowest = slowest.max(agreeing.join_all().await.into_iter().max().unwrap());
    }
    println!("the slowest of {rounds} times five records took {slowest:?}");
    cluster.finish().await;
}

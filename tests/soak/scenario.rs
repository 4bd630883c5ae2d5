//! What goes wrong in a round. A node that loses its data is no scenario: Raft has no answer to that without a change of
//! membership.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use fastrand::Rng;

use crate::common::kv_cluster::Cluster;
use crate::common::network::NetworkConfig;

/// The fault of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing.
    Calm,
    /// A tenth of all requests and replies is lost.
    LossTenth,
    /// Half of all requests and replies is lost.
    LossHalf,
    /// Copies of requests, and replies that are late and out of order.
    CopiesAndLate,
    /// The nodes are parted anew again and again.
    Partitions,
    /// Leader after leader is cut off.
    LeaderCutOff,
    /// A node, often the leader, hears the others and is not heard, or the other way round.
    OneWay,
    /// One node after the other is killed.
    CrashOne,
    /// Two nodes at a time are killed.
    CrashMinority,
    /// All nodes are killed at once.
    CrashAll,
    /// One node is down all the time, and comes back to logs that do not reach so far.
    Away,
    /// One node after the other is stopped for a while.
    Pause,
    /// Leader after leader is stopped for a while.
    PauseLeader,
    /// Crashes, partitions, pauses, losses and copies.
    Everything,
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no variant is skipped").get_name().to_owned()
    }

    /// The network meanwhile, between the nodes and in front of them.
    pub(crate) fn network(self) -> NetworkConfig {
        match self {
            Self::LossTenth => NetworkConfig::lossy(),
            Self::LossHalf => NetworkConfig::unreliable(),
            Self::CopiesAndLate => NetworkConfig::reliable().with_duplicates().with_late_replies(),
            Self::Everything => NetworkConfig::lossy().with_duplicates(),
            Self::Calm
            | Self::Partitions
            | Self::LeaderCutOff
            | Self::OneWay
            | Self::CrashOne
            | Self::CrashMinority
            | Self::CrashAll
            | Self::Away
            | Self::Pause
            | Self::PauseLeader => NetworkConfig::reliable(),
        }
    }

    /// Makes it go wrong until `end`, or a little longer. Then all nodes run; links may still be cut.
    pub(crate) async fn disturb(self, cluster: &mut Cluster, random: &mut Rng, end: Instant) {
        while Instant::now() < end {
            match self {
                Self::Calm | Self::LossTenth | Self::LossHalf | Self::CopiesAndLate => {
                    tokio::time::sleep_until(end.into()).await;
                }
                Self::Partitions => {
                    part(cluster, random);
                    pause(random, 200..900).await;
                }
                Self::LeaderCutOff => {
                    cluster.cut(cluster.leader().await);
                    pause(random, 300..1_200).await;
                    cluster.heal();
                    pause(random, 50..300).await;
                }
                Self::OneWay => one_way(cluster, random).await,
                Self::CrashOne => crash(cluster, random, 1).await,
                Self::CrashMinority => crash(cluster, random, 2).await,
                Self::CrashAll => {
                    pause(random, 300..1_200).await;
                    cluster.restart_all().await;
                }
                Self::Away => {
                    let away = any(cluster, random);
                    cluster.kill(away).await;
                    tokio::time::sleep_until(end.into()).await;
                    cluster.restart(away).await;
                }
                Self::Pause => stop(cluster, any(cluster, random), random).await,
                Self::PauseLeader => stop(cluster, cluster.leader().await, random).await,
                Self::Everything => {
                    part(cluster, random);
                    if random.bool() {
                        stop(cluster, any(cluster, random), random).await;
                    } else {
                        let victims = random.usize(1..3);
                        crash(cluster, random, victims).await;
                    }
                }
            }
        }
    }
}

async fn pause(random: &mut Rng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.u64(milliseconds))).await;
}

fn any(cluster: &Cluster, random: &mut Rng) -> u64 {
    random.choice(cluster.ids()).expect("a cluster has nodes")
}

/// Parts up to half of the nodes from the others.
fn part(cluster: &Cluster, random: &mut Rng) {
    let mut ids = cluster.ids();
    random.shuffle(&mut ids);
    cluster.part(&ids[..random.usize(1..=ids.len() / 2)]);
}

async fn one_way(cluster: &Cluster, random: &mut Rng) {
    let node = if random.bool() { cluster.leader().await } else { any(cluster, random) };
    if random.bool() {
        cluster.cut_from(node);
    } else {
        cluster.cut_to(node);
    }
    pause(random, 300..1_200).await;
    cluster.heal();
    pause(random, 50..300).await;
}

/// Kills so many nodes, and starts them again after a while.
async fn crash(cluster: &mut Cluster, random: &mut Rng, count: usize) {
    let mut ids = cluster.ids();
    random.shuffle(&mut ids);
    for id in &ids[..count] {
        cluster.kill(*id).await;
    }
    pause(random, 100..700).await;
    for id in &ids[..count] {
        cluster.restart(*id).await;
    }
    pause(random, 50..500).await;
}

/// Stops a node where it is, and lets it go on after a while.
async fn stop(cluster: &Cluster, node: u64, random: &mut Rng) {
    cluster.nodes[&node].signal("STOP").await;
    pause(random, 200..1_500).await;
    cluster.nodes[&node].signal("CONT").await;
    pause(random, 50..300).await;
}

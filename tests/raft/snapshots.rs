//! Logs that are cut short by snapshots, and nodes that need one.

use std::time::{Duration, Instant};

use traitwire_kv::services::raft::{Index, NodeId};

use crate::client::AGREEMENT_TIMEOUT;
use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::witness::View;

/// After how many entries a node takes a snapshot, and how many entries it keeps then.
const SNAPSHOT_EVERY: Index = 10;
const TRAILING_ENTRIES: Index = 4;
/// How many entries a log may have: those that stay, those until the next snapshot, and what comes while it is saved.
const LOG_ENTRIES_MAX: Index = TRAILING_ENTRIES + 2 * SNAPSHOT_EVERY;

async fn start(nodes: usize, config: NetworkConfig) -> Cluster {
    let (every, trailing) = (SNAPSHOT_EVERY.to_string(), TRAILING_ENTRIES.to_string());
    let arguments = ["--snapshot-every", &every, "--trailing-entries", &trailing];
    Cluster::start_with(nodes, config, &arguments).await
}

/// Commits so many records on `nodes` nodes.
async fn agree_often(cluster: &Cluster, what: &str, count: Index, nodes: usize) {
    for number in 0..count {
        // Where every record is awaited on all nodes, none falls behind without being meant to.
        cluster.agree(format!("{what}, {number}"), nodes).await;
    }
}

/// Waits until these nodes have a log as short as it has to be.
async fn logs_are_short(cluster: &Cluster, nodes: &[NodeId]) {
    let short = |view: &View| {
        let is_short = |id: &NodeId| {
            let state = view.nodes[id].seen?.1;
            Some(state.base_index > 0 && state.last_index - state.base_index <= LOG_ENTRIES_MAX)
        };
        nodes.iter().all(|id| is_short(id) == Some(true)).then_some(())
    };
    cluster
        .client
        .0
        .wait(AGREEMENT_TIMEOUT, format!("logs of at most {LOG_ENTRIES_MAX} entries"), short)
        .await;
}

/// C1: logs stay short however many records come.
#[tokio::test]
async fn logs_stay_short() {
    let cluster = start(3, NetworkConfig::reliable()).await;
    let mut bases = Vec::new();
    for round in 0..3 {
        agree_often(&cluster, &format!("{round}"), SNAPSHOT_EVERY + 1, 3).await;
        logs_are_short(&cluster, &cluster.ids()).await;
        bases.push(cluster.state(1).await.base_index);
    }
    assert!(bases.is_sorted_by(|before, after| before < after), "{bases:?}");
    cluster.finish().await;
}

/// C2: a node that was cut off for longer than the logs reach is brought a snapshot.
#[tokio::test]
async fn a_node_that_was_cut_off_gets_a_snapshot() {
    miss_and_return(NetworkConfig::reliable(), Absence::Cut, 6).await;
}

/// C3: the same on a network that loses and delays.
#[tokio::test]
async fn a_node_that_was_cut_off_gets_a_snapshot_over_a_bad_network() {
    miss_and_return(NetworkConfig::lossy(), Absence::Cut, 3).await;
}

/// C4: a node that was down for longer than the logs reach is brought a snapshot.
#[tokio::test]
async fn a_node_that_has_crashed_gets_a_snapshot() {
    miss_and_return(NetworkConfig::reliable(), Absence::Crash, 6).await;
}

/// C5: the same on a network that loses and delays.
#[tokio::test]
async fn a_node_that_has_crashed_gets_a_snapshot_over_a_bad_network() {
    miss_and_return(NetworkConfig::lossy(), Absence::Crash, 3).await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    Cut,
    Crash,
}

/// Now a follower is missing, now the leader, for longer than the logs reach.
async fn miss_and_return(config: NetworkConfig, absence: Absence, rounds: u32) {
    let mut cluster = start(3, config).await;
    for round in 0..rounds {
        cluster.agree(format!("{round}, all"), 3).await;
        let (leader, _) = cluster.leader().await;
        let missing = if round % 3 == 1 { leader } else { cluster.others(&[leader])[0] };
        let had = cluster.state(missing).await.last_index;
        match absence {
            Absence::Cut => cluster.cut(missing),
            Absence::Crash => cluster.kill(missing).await,
        }
        let rest = cluster.others(&[missing]);
        agree_often(&cluster, &format!("{round}, two"), 2 * SNAPSHOT_EVERY + TRAILING_ENTRIES, 2).await;
        // Only once both have no entry any more that comes next for it, nothing but a snapshot helps.
        let gone = |view: &View| {
            let base = |id: &NodeId| view.nodes[id].seen.map_or(0, |(_, state)| state.base_index);
            rest.iter().all(|id| base(id) > had + 1).then_some(())
        };
        cluster.client.0.wait(AGREEMENT_TIMEOUT, "what it missed is gone", gone).await;
        match absence {
            Absence::Cut => cluster.heal(&[missing]),
            Absence::Crash => drop(cluster.restart(missing).await),
        }
        cluster.agree(format!("{round}, all again"), 3).await;
        let base = cluster.state(missing).await.base_index;
        assert!(base > had, "it has its base at {base}, where it had {had}: it got no snapshot");
        logs_are_short(&cluster, &cluster.ids()).await;
    }
    cluster.finish().await;
}

/// A snapshot of several megabytes goes over a bad network piece by piece, and a piece that is lost costs one piece.
#[tokio::test]
async fn a_large_snapshot_comes_in_pieces() {
    const RECORD_BYTES: usize = 200_000;
    const PIECES_MIN: usize = 4;
    let cluster = start(3, NetworkConfig::lossy()).await;
    cluster.agree("all", 3).await;
    let (leader, _) = cluster.leader().await;
    let missing = cluster.others(&[leader])[0];
    cluster.cut(missing);
    let records = (PIECES_MIN << 20) / RECORD_BYTES + 2;
    for number in 0..records {
        cluster.agree(format!("{number} {}", "x".repeat(RECORD_BYTES)), 2).await;
    }
    logs_are_short(&cluster, &cluster.others(&[missing])).await;
    cluster.heal(&[missing]);
    cluster.agree("all again", 3).await;
    assert!(cluster.state(missing).await.base_index > SNAPSHOT_EVERY, "it got no snapshot");
    cluster.finish().await;
}

/// C6: all nodes crash, five times over. Their snapshots keep what their logs no longer have, and no index goes back.
#[tokio::test]
async fn snapshots_survive_a_crash_of_all() {
    let mut cluster = start(3, NetworkConfig::reliable()).await;
    let mut last = 0;
    for round in 0..5 {
        agree_often(&cluster, &format!("{round}"), SNAPSHOT_EVERY + 1, 3).await;
        logs_are_short(&cluster, &cluster.ids()).await;
        cluster.restart_all().await;
        let next = cluster.agree(format!("{round}, after the crash"), 3).await;
        assert!(next > last + SNAPSHOT_EVERY, "{next} comes after {last}");
        last = next;
    }
    cluster.finish().await;
}

/// Snapshots are taken and installed while records go on coming, and nodes crash meanwhile.
#[tokio::test]
async fn snapshots_do_not_stop_the_records() {
    const TIME: Duration = Duration::from_secs(4);
    let mut cluster = start(3, NetworkConfig::reliable()).await;
    cluster.leader().await;
    let client = cluster.client.clone();
    let submitting = tokio::spawn(async move {
        for number in 0.. {
            client.agree(number, 1).await;
        }
    });
    let end = Instant::now() + TIME;
    let mut missing = 1;
    while Instant::now() < end {
        cluster.kill(missing).await;
        let before = cluster.see(View::last_committed);
        let more = |view: &View| (view.last_committed() > before + 2 * SNAPSHOT_EVERY).then_some(());
        cluster.client.0.wait(AGREEMENT_TIMEOUT, "records go on", more).await;
        cluster.restart(missing).await;
        cluster.applied(&[missing], before + 2 * SNAPSHOT_EVERY).await;
        missing = missing % 3 + 1;
    }
    submitting.abort();
    logs_are_short(&cluster, &cluster.ids()).await;
    cluster.finish().await;
}

//! What nodes know after a crash: everything that they have said.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use traitwire_kv::services::raft::{Index, NodeId};

use crate::client::{AGREEMENT_TIMEOUT, Client};
use crate::cluster::Cluster;
use crate::common::network::NetworkConfig;
use crate::witness::View;

/// P1: all nodes crash, then a leader, then a follower, and each time all have everything.
#[tokio::test]
async fn nodes_that_crash_know_what_they_knew() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    assert_eq!(cluster.agree("first", 3).await, 1);
    cluster.restart_all().await;
    cluster.agree("after all have crashed", 3).await;

    let (leader, _) = cluster.leader().await;
    cluster.restart(leader).await;
    cluster.agree("after the leader has crashed", 3).await;

    let (leader, _) = cluster.leader().await;
    cluster.kill(leader).await;
    cluster.agree("without the leader", 2).await;
    cluster.restart(leader).await;
    cluster.agree("with it again", 3).await;

    let follower = cluster.others(&[cluster.leader().await.0])[0];
    cluster.kill(follower).await;
    cluster.agree("without a follower", 2).await;
    cluster.restart(follower).await;
    cluster.agree("with it again", 3).await;
    assert_eq!(cluster.committed(1), Some("first".into()));
    cluster.finish().await;
}

/// P2: of five nodes two and then three crash, and those that come back have missed different things.
#[tokio::test]
async fn nodes_that_crash_one_after_the_other_catch_up() {
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    for round in 0..2 {
        cluster.agree(format!("{round}, all"), 5).await;
        let (leader, _) = cluster.leader().await;
        let [b, c, d, e] = cluster.others(&[leader])[..] else { unreachable!() };
        cluster.kill(b).await;
        cluster.kill(c).await;
        cluster.agree(format!("{round}, three"), 3).await;
        for id in [leader, d, e] {
            cluster.kill(id).await;
        }
        // The first two have missed something, and may not lead without one that has not.
        cluster.restart(b).await;
        cluster.restart(c).await;
        cluster.restart(e).await;
        cluster.agree(format!("{round}, three others"), 3).await;
        cluster.restart(leader).await;
        cluster.restart(d).await;
    }
    cluster.agree("all", 5).await;
    cluster.finish().await;
}

/// P3: a leader and a follower crash while the other follower is cut off; the leader alone comes back to it.
#[tokio::test]
async fn a_leader_that_crashes_brings_its_log_back() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    cluster.agree("all", 3).await;
    let (leader, _) = cluster.leader().await;
    let [b, c] = cluster.others(&[leader])[..] else { unreachable!() };
    cluster.cut(c);
    cluster.agree("two", 2).await;
    cluster.kill(leader).await;
    cluster.kill(b).await;
    cluster.heal(&[c]);
    cluster.restart(leader).await;
    cluster.agree("two others", 2).await;
    cluster.restart(b).await;
    cluster.agree("all again", 3).await;
    cluster.finish().await;
}

/// P4: leaders crash one after the other, each right after it has taken a record.
#[tokio::test]
async fn leaders_crash_with_records_that_may_be_lost() {
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    for round in 0..4 {
        let (leader, _) = cluster.leader().await;
        cluster.submit_to(leader, format!("{round}, perhaps")).await;
        cluster.kill(leader).await;
        cluster.agree(format!("{round}, certain"), 4).await;
        cluster.restart(leader).await;
    }
    cluster.agree("all", 5).await;
    cluster.finish().await;
}

/// P5: after a crash of all nodes everything is committed again without a new record, since a leader that finds entries which
/// it does not know to be committed adds a blank one.
#[tokio::test]
async fn records_are_there_after_a_crash_of_all_without_a_new_one() {
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let mut last = 0;
    for number in 0..5 {
        last = cluster.agree(number, 3).await;
    }
    cluster.restart_all().await;
    cluster.applied(&cluster.ids(), last).await;
    for id in cluster.ids() {
        assert_eq!(cluster.node(id).get(last).await.unwrap(), Some(4.into()));
    }
    cluster.finish().await;
}

/// P10: nodes are killed at any moment under load, and what was committed stays. P11 comes with it: each start reads a file
/// that was being written.
#[tokio::test]
async fn what_is_acknowledged_survives_a_kill_at_any_moment() {
    const KILLS: u32 = 12;
    const LIFE_MAX_MS: u64 = 400;
    const SUBMITTERS: usize = 4;
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    cluster.leader().await;
    let mut submitting = JoinSet::new();
    for submitter in 0..SUBMITTERS {
        submitting.spawn(submit_for_ever(cluster.client.clone(), submitter));
    }
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.u64(0..LIFE_MAX_MS))).await;
        // Now one node, now all of them.
        if kill % 4 == 3 {
            cluster.restart_all().await;
        } else {
            let id = random.choice(cluster.ids()).unwrap();
            cluster.restart(id).await;
        }
    }
    let before = cluster.see(View::last_committed);
    let committed = |view: &View| (view.last_committed() > before).then_some(());
    cluster.client.0.wait(AGREEMENT_TIMEOUT, "a commit after the last kill", committed).await;
    submitting.shutdown().await;
    // What was applied anywhere before a kill is compared with what every node applies after it.
    println!("{} entries were committed between {KILLS} kills", cluster.see(View::last_committed));
    cluster.finish().await;
}

async fn submit_for_ever(client: Client, submitter: usize) {
    for number in 0.. {
        let record = Value::from(format!("{submitter}, {number}"));
        let _unsure = client.try_agree(&record, 1, Instant::now() + AGREEMENT_TIMEOUT).await;
    }
}

/// P13: a node with a long log is there again quickly; the times are printed.
#[tokio::test]
async fn a_node_with_a_long_log_starts_quickly() {
    const ENTRIES: Index = 10_000;
    const RESTARTS: usize = 10;
    /// Far above what it takes: this is no benchmark.
    const READY_TIME_MAX: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    fill(&cluster, ENTRIES).await;
    let mut times = Vec::new();
    for restart in 0..RESTARTS {
        let id = (restart % cluster.size()) as NodeId + 1;
        times.push(cluster.restart(id).await);
    }
    times.sort_unstable();
    let slowest = times[RESTARTS - 1];
    println!("ready with {ENTRIES} entries: median {:?}, slowest {slowest:?}", times[RESTARTS / 2]);
    assert!(slowest <= READY_TIME_MAX, "{slowest:?}");
    cluster.applied(&cluster.ids(), ENTRIES).await;
    cluster.finish().await;
}

/// Fills the log up to an index at least.
async fn fill(cluster: &Cluster, up_to: Index) {
    /// The records that are submitted at the same time.
    const TOGETHER: u64 = 500;
    /// How long it may take in all.
    const FILL_TIMEOUT: Duration = Duration::from_secs(60);
    let end = Instant::now() + FILL_TIMEOUT;
    while cluster.see(View::last_committed) < up_to {
        assert!(Instant::now() < end, "the log has not grown to {up_to} entries within {FILL_TIMEOUT:?}");
        let (leader, _) = cluster.leader().await;
        let mut submitting = JoinSet::new();
        for number in 0..TOGETHER {
            let node = cluster.node(leader);
            submitting.spawn(async move { node.append(&Value::from(number)).await });
        }
        let placed = submitting.join_all().await;
        let last = placed.into_iter().filter_map(|place| place.ok()?).map(|place| place.index).max();
        let committed = |view: &View| (view.last_committed() >= last?).then_some(());
        // An election may come between, and then there is less.
        let _election = cluster.client.0.within(Duration::from_secs(2), committed).await;
    }
}

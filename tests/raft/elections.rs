//! Who leads, and how soon somebody does again.

use std::time::{Duration, Instant};

use traitwire_kv::services::raft::NodeId;

use crate::cluster::{Cluster, ELECTION_TIMEOUT};
use crate::common::network::NetworkConfig;
use crate::witness::View;

/// How long a cluster without faults is watched for an election that it does not need.
const STABLE_TIME: Duration = Duration::from_secs(3);
/// How long a cluster without a majority is watched for a leader that it must not have.
const WITHOUT_QUORUM_TIME: Duration = Duration::from_millis(1_500);

/// Fails the test if any node enters a term after `term` within `time`.
async fn term_stays(cluster: &Cluster, term: u64, time: Duration) {
    let later = |view: &View| {
        view.nodes
            .iter()
            .find(|(_, node)| node.seen.is_some_and(|seen| seen.1.term > term))
            .map(|(id, _)| *id)
    };
    let moved = cluster.client.0.within(time, later).await;
    assert_eq!(moved, None, "this node has left term {term} for no reason");
}

/// E1: a leader comes, and stays.
#[tokio::test]
async fn a_leader_is_elected_and_stays() {
    const FIRST_LEADER_TIMEOUT: Duration = Duration::from_millis(1_500);
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let started_at = Instant::now();
    let (_, term) = cluster.leader().await;
    assert!(started_at.elapsed() <= FIRST_LEADER_TIMEOUT, "it took {:?}", started_at.elapsed());
    term_stays(&cluster, term, STABLE_TIME).await;
    cluster.finish().await;
}

/// E2: a leader that is cut off is replaced, and follows when it is back; without a majority nobody leads.
#[tokio::test]
async fn a_majority_has_a_leader_and_a_minority_has_none() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (first, first_term) = cluster.leader().await;
    cluster.cut(first);
    let (second, second_term) = cluster.leader().await;
    assert!(second != first && second_term > first_term);

    // The one of before is back, and disturbs nobody.
    cluster.heal(&[first]);
    assert_eq!(cluster.leader().await, (second, second_term));

    let third = cluster.others(&[second])[0];
    cluster.cut(second);
    cluster.cut(third);
    cluster.no_leader().await;
    cluster.stays_without_leader(WITHOUT_QUORUM_TIME).await;

    cluster.heal(&[third]);
    let (fourth, _) = cluster.leader().await;
    cluster.heal(&[second]);
    cluster.leader().await;
    assert_ne!(fourth, second, "it was cut off");
    cluster.finish().await;
}

/// E3: a leader and another node of five are cut off, five times over.
#[tokio::test]
async fn leaders_of_five_are_cut_off_one_after_the_other() {
    let cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    for _ in 0..5 {
        let (leader, term) = cluster.leader().await;
        let other = cluster.others(&[leader])[0];
        cluster.cut(leader);
        cluster.cut(other);
        let (next, next_term) = cluster.leader().await;
        assert!(![leader, other].contains(&next) && next_term > term);
        cluster.heal(&[leader, other]);
    }
    cluster.leader().await;
    cluster.finish().await;
}

/// E3: three of seven are cut off, nine times over, and calls to them hang for seconds.
#[tokio::test]
async fn any_three_of_seven_can_be_missed() {
    let cluster = Cluster::start(7, NetworkConfig::reliable().with_hanging_cuts()).await;
    let mut random = fastrand::Rng::with_seed(crate::common::seed());
    cluster.leader().await;
    for _ in 0..9 {
        let missed = random.choose_multiple(cluster.ids(), 3);
        for id in &missed {
            cluster.cut(*id);
        }
        let (leader, _) = cluster.leader().await;
        assert!(!missed.contains(&leader));
        cluster.heal(&missed);
        cluster.leader().await;
    }
    cluster.finish().await;
}

/// E6: the leader is killed again and again. `RAFT_KILLS` says how often; the times are printed.
#[tokio::test]
async fn a_killed_leader_is_replaced_soon() {
    const MEDIAN_MAX: Duration = Duration::from_millis(600);
    const SLOWEST_MAX: Duration = Duration::from_secs(2);
    let kills = crate::count("RAFT_KILLS", 12);
    let mut cluster = Cluster::start(5, NetworkConfig::reliable()).await;
    let mut times = Vec::new();
    for _ in 0..kills {
        let (leader, term) = cluster.leader().await;
        cluster.kill(leader).await;
        let killed_at = Instant::now();
        let (_, next_term) = cluster.leader().await;
        times.push(killed_at.elapsed());
        assert!(next_term > term);
        cluster.restart(leader).await;
    }
    cluster.finish().await;
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, slowest) = (at(50), at(99));
    println!("a new leader after {kills} kills: p50 {median:?}, p99 {slowest:?}");
    assert!(median <= MEDIAN_MAX && slowest <= SLOWEST_MAX, "p50 {median:?}, p99 {slowest:?}");
}

/// A leader that stands still for a while, as in a pause of its machine, is replaced. It wakes up, and follows.
#[tokio::test]
async fn a_leader_that_was_stopped_follows_when_it_wakes_up() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    for round in 0..3 {
        let (leader, term) = cluster.leader().await;
        cluster.pause(leader).await;
        let (next, next_term) = cluster.leader().await;
        assert!(next != leader && next_term > term);
        cluster.agree(format!("without it, {round}"), 2).await;
        cluster.resume(leader).await;
        cluster.agree(format!("with it, {round}"), 3).await;
    }
    cluster.finish().await;
}

/// A node that has lost its link to the leader, but not to the others, does not end the leader's term.
#[tokio::test]
async fn a_node_that_misses_the_leader_alone_disturbs_nobody() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (leader, term) = cluster.leader().await;
    cluster.applied(&cluster.ids(), cluster.agree("first", 3).await).await;
    let follower = cluster.others(&[leader])[0];
    cluster.cut_between(leader, follower);
    term_stays(&cluster, term, ELECTION_TIMEOUT / 2).await;
    assert_eq!(cluster.leader().await, (leader, term));
    cluster.agree("second", 2).await;
    cluster.heal(&[follower]);
    cluster.agree("third", 3).await;
    assert_eq!(cluster.leader().await, (leader, term), "its return has cost a term");
    cluster.finish().await;
}

/// A leader that is heard only when it is asked is replaced, and the others do not wait for its votes.
#[tokio::test]
async fn a_leader_that_can_only_answer_is_replaced() {
    let cluster = Cluster::start(3, NetworkConfig::reliable()).await;
    let (mute, term) = cluster.leader().await;
    cluster.cut_from(mute);
    let replaced = |view: &View| {
        let state = |id: &NodeId| view.nodes[id].seen.map(|(_, state)| state);
        cluster
            .others(&[mute])
            .iter()
            .find(|id| state(id).is_some_and(|it| it.leads && it.term > term))
            .copied()
    };
    let next = cluster.client.0.wait(ELECTION_TIMEOUT, "another leader", replaced).await;
    // It still gets what the others send.
    cluster.agree("with the mute one", 3).await;
    let (_, next_term) = cluster.leader().await;
    term_stays(&cluster, next_term, WITHOUT_QUORUM_TIME).await;
    assert_eq!(cluster.leader().await, (next, next_term));
    cluster.finish().await;
}

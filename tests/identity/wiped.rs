//! Nodes that come back with empty folders: they vote for nobody until they have caught up.

use traitwire_kv::services::rsm::NodeRole;

use crate::common::machines::Machines;

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_rejoins_and_votes_once_it_has_caught_up() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    let peers = machines.peers([1, 2, 3]);
    for id in [2, 1] {
        let before = machines.status(id).await.unwrap();
        machines.kill(id).await;
        machines.wipe(id);
        machines.start_with_peers(id, &peers, &[]).await;
        machines.leader().await;
        machines.settled().await;
        let after = machines.status(id).await.unwrap();
        assert_eq!(after.cluster_id, before.cluster_id);
        assert_ne!(after.incarnation, before.incarnation);
        machines.write(&[1, 2, 3], &format!("after {id}")).await;
    }
    // Both wiped nodes together are a majority now.
    machines.kill(3).await;
    machines.leader().await;
    machines.write(&[1, 2], "without the third").await;
    machines.check(&[1, 2]).await;
}

/// The wiped node is asked for its vote by one that may lack what the old leader has acknowledged with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_wiped_while_the_leader_is_down_does_not_vote() {
    let mut machines = Machines::founded(3).await;
    let leader = machines.leader().await;
    let [wiped, behind] = [leader % 3 + 1, (leader + 1) % 3 + 1];
    // One follower misses what the leader and the other one acknowledge.
    machines.settled().await;
    machines.kill(behind).await;
    machines.write(&[leader, wiped], "without one").await;
    machines.kill(leader).await;
    machines.kill(wiped).await;
    machines.wipe(wiped);
    let peers = machines.peers([1, 2, 3]);
    machines.start_with_peers(behind, &peers, &[]).await;
    machines.start_with_peers(wiped, &peers, &[]).await;
    let status = machines.problem(wiped, &["this node is empty", "waits to be taken back"]).await;
    assert_eq!((status.role, status.last_log_index), (NodeRole::Learner, 0));
    // The other one asks for votes in vain.
    machines.process(behind).logged(&["peer unreachable", &machines.url(wiped), "incarnation"]).await;
    assert_eq!(machines.status(behind).await.unwrap().leader, None);
    machines.refused(behind).await;
    // The old leader returns with what was acknowledged.
    machines.start_with_peers(leader, &peers, &[]).await;
    machines.leader().await;
    machines.settled().await;
    machines.check(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_wiped_nodes_do_not_serve() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.kill_all().await;
    machines.wipe(1);
    machines.wipe(2);
    let peers = machines.peers([1, 2, 3]);
    for id in [3, 1, 2] {
        machines.start_with_peers(id, &peers, &["--bootstrap"]).await;
    }
    for id in [1, 2] {
        machines.problem(id, &["this node is empty", "waits to be taken back", "no leader"]).await;
        machines.refused(id).await;
    }
    machines.process(3).logged(&["no leader"]).await;
    machines.refused(3).await;
    assert!(machines.readiness(3).await.0 == 503);
}

/// The identity is there and the log is not: what the node has promised is gone all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_lost_its_log_alone_rejoins_as_another_one() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    let before = machines.status(2).await.unwrap();
    machines.kill(2).await;
    machines.remove_files(2, "wal-");
    machines.remove_files(2, "snapshot-");
    machines.start(2, &["--peers", &machines.peers([1, 2, 3])]).await;
    machines.process(2).logged(&["the log of this folder is gone"]).await;
    machines.leader().await;
    machines.settled().await;
    let after = machines.status(2).await.unwrap();
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_ne!(after.incarnation, before.incarnation);
    machines.check(&[1, 2, 3]).await;
}

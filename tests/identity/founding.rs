//! How a cluster comes to be, and what a node does until it is.

use traitwire_kv::services::rsm::NodeRole;

use crate::common::machines::Machines;

/// The order of `--peers` does not matter, nor that of the starts. Until all nodes are there, the others wait and say for which.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_found_a_cluster_once_all_of_them_are_there() {
    let mut machines = Machines::new(3);
    machines.start_with_peers(3, &machines.peers([3, 1, 2]), &[]).await;
    machines.start_with_peers(1, &machines.peers([1, 2, 3]), &[]).await;
    let missing = format!("node 2 ({}", machines.url(2));
    for id in [1, 3] {
        let status = machines.problem(id, &["waits for", &missing, "--bootstrap"]).await;
        assert_eq!((status.role, status.leader, status.cluster_id), (NodeRole::Learner, None, None));
        let (code, body) = machines.readiness(id).await;
        assert_eq!(
            (code, body.contains("[-]member failed: this node is new and waits for")),
            (503, true),
            "{body}"
        );
        machines.process(id).logged(&["waits for", &missing]).await;
    }
    let error = machines.refused(1).await;
    assert!(error.message().contains(&missing), "{error}");
    machines.start_with_peers(2, &machines.peers([2, 3, 1]), &[]).await;
    machines.leader().await;
    let statuses = machines.settled().await;
    assert!(statuses[0].cluster_id.is_some(), "{statuses:?}");
    assert!(statuses.iter().all(|status| status.incarnation.is_some()));
    machines.write(&[1, 2, 3], "first").await;
    let (code, body) = machines.readiness(1).await;
    assert_eq!((code, body.contains("[+]member ok")), (200, true), "{body}");
    machines.check(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_partial_lists_wait_and_say_so() {
    let mut machines = Machines::new(3);
    machines.start_with_peers(1, &machines.peers([1, 2]), &[]).await;
    machines.start_with_peers(2, &machines.peers([1, 2, 3]), &[]).await;
    machines.start_with_peers(3, &machines.peers([1, 2, 3]), &[]).await;
    machines.problem(1, &["started with the nodes 1, 2, but node 2", "with 1, 2, 3", "same ids"]).await;
    for id in [2, 3] {
        machines.problem(id, &["node 1", "with 1, 2"]).await;
    }
    machines.refused(1).await;
    machines.kill(1).await;
    machines.start_with_peers(1, &machines.peers([1, 2, 3]), &[]).await;
    machines.leader().await;
    machines.settled().await;
    machines.write(&[1, 2, 3], "corrected").await;
}

/// The node that was missing becomes a voter as soon as it appears.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_cluster_begins_with_a_majority() {
    let mut machines = Machines::new(3);
    let peers = machines.peers([1, 2, 3]);
    machines.start_with_peers(2, &peers, &["--bootstrap"]).await;
    machines.problem(2, &["node 1", "node 3"]).await;
    machines.start_with_peers(3, &peers, &["--bootstrap"]).await;
    machines.leader().await;
    machines.write(&[2, 3], "declared").await;
    machines.start_with_peers(1, &peers, &["--bootstrap"]).await;
    machines.settled().await;
    machines.kill(3).await;
    machines.write(&[1, 2], "with the late one").await;
    machines.check(&[1, 2]).await;
    machines.start_with_peers(3, &peers, &["--bootstrap"]).await;
    machines.process(3).logged(&["ignored --bootstrap"]).await;
    machines.settled().await;
}

/// All are killed as soon as some have heard of the new cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_a_cluster_is_founded_is_harmless() {
    let mut machines = Machines::new(3);
    let peers = machines.peers([1, 2, 3]);
    for round in 0..4 {
        for id in 1..=3 {
            machines.start_with_peers(id, &peers, &[]).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(15 * round)).await;
        machines.kill_all().await;
    }
    for id in 1..=3 {
        machines.start_with_peers(id, &peers, &[]).await;
    }
    machines.leader().await;
    machines.settled().await;
    machines.write(&[1, 2, 3], "after crashes").await;
}

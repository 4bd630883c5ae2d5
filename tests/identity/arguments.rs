//! Nodes that are started again with other arguments: the folder decides what a node is.

use traitwire_kv::services::rsm::NodeRole;

use crate::common::machines::Machines;

/// The mistake that once made a node lead alone on the log of its cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_peers_is_still_a_member_of_its_cluster() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    let leader = machines.leader().await;
    machines.kill_all().await;
    // Neither the id nor the peers are named.
    machines.start(leader, &[]).await;
    machines
        .status_when(leader, "a candidate, for want of others", |status| status.role == NodeRole::Candidate)
        .await;
    machines.refused(leader).await;
    let status = machines.status(leader).await.unwrap();
    assert_eq!((status.id, status.leader), (leader, None));
    for id in machines.ids().into_iter().filter(|id| *id != leader) {
        machines.start(id, &[]).await;
    }
    machines.leader().await;
    machines.settled().await;
    machines.write(&[1, 2, 3], "after").await;
    machines.check(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_list_of_peers_changes_nothing_and_is_reported() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.kill(2).await;
    // Node 3 is missing, and there is no node 9.
    let peers = format!("{},9=http://127.0.0.1:9", machines.peers([2, 1]));
    machines.start_with_peers(2, &peers, &[]).await;
    machines.process(2).logged(&["--peers does not list the members", "1, 2, 9", "1, 2, 3"]).await;
    machines.settled().await;
    machines.kill(1).await;
    machines.leader().await;
    machines.write(&[2, 3], "after").await;
    machines.check(&[2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_id_or_cluster_name_is_refused() {
    let mut machines = Machines::founded(1).await;
    machines.kill(1).await;
    for arguments in [["--id", "2"], ["--cluster", "other"]] {
        let (code, error) = machines.fails_to_start(1, &arguments).await;
        assert_eq!((code, error.contains("belongs to node 1 of cluster `traitwire`")), (1, true), "{error}");
    }
    machines.start(1, &[]).await;
    machines.leader().await;
}

/// A damaged identity is never replaced: with another incarnation the node would be a stranger to its cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_identity_is_refused() {
    let mut machines = Machines::founded(1).await;
    machines.write(&[1], "before").await;
    machines.kill(1).await;
    let path = machines.data(1).join("identity.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let incarnation = text.find("incarnation").unwrap() + 14;
    let mut damaged = text.clone();
    let other = if damaged.as_bytes()[incarnation] == b'0' { "1" } else { "0" };
    damaged.replace_range(incarnation..=incarnation, other);
    for (content, says) in
        [(Some(damaged.as_str()), "checksum"), (Some(""), "EOF"), (None, "the file is missing")]
    {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let (code, error) = machines.fails_to_start(1, &[]).await;
        assert_eq!(code, 1, "{error}");
        for part in ["identity.json", says, "move the whole folder away"] {
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
        assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), content, "the file was touched");
    }
    std::fs::write(&path, text).unwrap();
    machines.start(1, &[]).await;
    machines.leader().await;
    machines.check(&[1]).await;
}

//! Clusters with the same name whose nodes were given each other's URLs.

use std::process::Output;

use tokio::process::Command;
use traitwire::KVError;
use traitwire_kv::call::CallError;
use traitwire_kv::services::rsm::StatusReply;

use crate::common::machines::{Machines, PATIENCE};
use crate::common::wait::within;

/// The list of one cluster, with the URL of a node of the other one.
fn crossed(own: &Machines, other: &Machines, id: u64) -> String {
    let urls = own.ids().into_iter().map(|it| {
        let url = if it == id { other.url(it) } else { own.url(it) };
        format!("{it}={url}")
    });
    urls.collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_does_not_mix_two_clusters() {
    let (mut first, mut second) = tokio::join!(Machines::founded(3), Machines::founded(3));
    first.write(&[1, 2, 3], "first").await;
    second.write(&[1, 2, 3], "second").await;
    let cluster = |status: &StatusReply| status.cluster_id.unwrap();
    let ids = [cluster(&first.status(1).await.unwrap()), cluster(&second.status(1).await.unwrap())];
    assert_ne!(ids[0], ids[1]);
    // All nodes of the first cluster reach node 3 of the second one.
    let peers = crossed(&first, &second, 3);
    first.kill_all().await;
    for id in [1, 2] {
        first.start_with_peers(id, &peers, &[]).await;
    }
    let leader = first.leader().await;
    first.write(&[1, 2], "crossed").await;
    first.problem(leader, &["node 3", &second.url(3), "cluster", "check"]).await;
    second.process(3).logged(&["refused a message", "cluster"]).await;
    let lines = second.process(3).lines();
    let refusals = lines.iter().filter(|line| line.contains("refused a message")).count();
    assert!(refusals <= 4, "each sender is refused in one line for each reason: {lines:#?}");
    second.write(&[1, 2, 3], "second again").await;
    second.check(&[1, 2, 3]).await;
    first.kill_all().await;
    let peers = first.peers([1, 2, 3]);
    for id in [1, 2, 3] {
        first.start_with_peers(id, &peers, &[]).await;
    }
    first.leader().await;
    first.settled().await;
    first.check(&[1, 2, 3]).await;
    assert_eq!(cluster(&first.status(3).await.unwrap()), ids[0]);
    assert_eq!(cluster(&second.status(3).await.unwrap()), ids[1]);
}

/// New nodes, one of whose URLs leads to a cluster that exists.
#[tokio::test(flavor = "multi_thread")]
async fn new_nodes_neither_found_nor_join_a_cluster_by_a_wrong_url() {
    let mut existing = Machines::founded(3).await;
    existing.write(&[1, 2, 3], "existing").await;
    let before = existing.settled().await;
    let mut new = Machines::new(3);
    let peers = crossed(&new, &existing, 3);
    for id in [1, 2] {
        new.start_with_peers(id, &peers, &["--bootstrap"]).await;
    }
    for id in [1, 2] {
        new.problem(id, &["its peers belong to the cluster", &before[0].cluster_id.unwrap().to_string()])
            .await;
        new.refused(id).await;
    }
    existing.check(&[1, 2, 3]).await;
    let after = existing.settled().await;
    assert_eq!(
        after.iter().map(|it| it.incarnation).collect::<Vec<_>>(),
        before.iter().map(|it| it.incarnation).collect::<Vec<_>>()
    );
    new.kill_all().await;
    new.start_with_peers(3, &new.peers([1, 2, 3]), &[]).await;
    for id in [1, 2] {
        new.start_with_peers(id, &new.peers([1, 2, 3]), &[]).await;
    }
    new.leader().await;
    new.settled().await;
}

/// Two machines with the same folder, as after copying a disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_folder_does_not_take_part() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.kill(2).await;
    let copy = machines.data(2).with_extension("copy");
    std::fs::rename(machines.data(2), &copy).unwrap();
    machines.start_with_peers(2, &machines.peers([1, 2, 3]), &[]).await;
    machines.leader().await;
    machines.settled().await;
    machines.write(&[1, 2, 3], "after").await;
    // The folder of before returns in the place of the one that has rejoined.
    machines.kill(2).await;
    machines.wipe(2);
    std::fs::rename(&copy, machines.data(2)).unwrap();
    machines.start(2, &[]).await;
    machines.problem(2, &["another incarnation"]).await;
    machines.refused(2).await;
    assert_eq!(machines.readiness(2).await.0, 503);
    machines.write(&[1, 3], "without it").await;
    machines.check(&[1, 3]).await;
}

async fn traitwire(arguments: &[&str]) {
    let command = Command::new(env!("CARGO_BIN_EXE_traitwire")).args(arguments).kill_on_drop(true).output();
    let Output { status, stderr, .. } = within(PATIENCE, "a command to end", command).await.unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
}

/// A node leaves its cluster with a copy of the data, by `debug recover` or from a backup, and runs where the cluster still calls it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_from_the_data_of_an_old_one_does_not_mix_with_it() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "shared").await;
    let old = machines.settled().await[0].cluster_id.unwrap();
    let leader = machines.leader().await;
    let (node, others) = (leader % 3 + 1, [leader, (leader + 1) % 3 + 1]);
    let backup = machines.data(node).with_extension("backup");
    let backup = backup.to_str().unwrap();
    traitwire(&["backup", "--endpoints", &machines.url(leader), "--out", backup]).await;
    for way in ["recover", "restore"] {
        machines.kill(node).await;
        let data = machines.data(node);
        let data = data.to_str().unwrap();
        if way == "recover" {
            traitwire(&["debug", "recover", data, "--force-new-cluster"]).await;
        } else {
            machines.wipe(node);
            traitwire(&["restore", backup, "--data", data, "--id", &node.to_string()]).await;
        }
        // With the unit file of before, which lists the nodes of the old cluster.
        machines.start_with_peers(node, &machines.peers([1, 2, 3]), &[]).await;
        let name = old.to_string();
        machines.process(node).logged(&["refused a message", "cluster", &name]).await;
        machines
            .problem(leader, &[&format!("node {node}"), &machines.url(node), "belongs to another cluster"])
            .await;
        let new = machines.status_when(node, "a leader", |it| it.leader == Some(node)).await;
        assert_ne!(new.cluster_id, Some(old), "{way}");
        // Both go on, each for itself. The client of one node stays with its cluster.
        let [mine, theirs] = [format!("{way}-new"), format!("{way}-old")];
        machines.client([node]).try_put(&mine, "x", 0, PATIENCE).await.unwrap();
        machines.client(others).try_put(&theirs, "x", 0, PATIENCE).await.unwrap();
        let missing =
            |found: Result<_, CallError>| assert_eq!(found, Err(CallError::Kv(KVError::NoKey)), "{way}");
        missing(machines.client([node]).try_get(&theirs, PATIENCE).await);
        missing(machines.client(others).try_get(&mine, PATIENCE).await);
        machines.check(&[node]).await;
        machines.check(&others).await;
        assert_eq!(machines.status(leader).await.unwrap().cluster_id, Some(old));
        assert_eq!(machines.status(node).await.unwrap().cluster_id, new.cluster_id);
    }
}

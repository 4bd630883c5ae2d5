//! Nodes that come back at another address, with the same folder.

use crate::common::machines::{Machines, PATIENCE};

/// The node alone is started with its new URL. The other nodes and the clients still have the old one on their command lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_moved_is_followed_by_the_cluster_and_by_clients() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    let leader = machines.leader().await;
    let (follower, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let client = machines.client([1, 2, 3]);
    for id in [follower, leader] {
        machines.kill(id).await;
        machines.move_elsewhere(id);
        let peers = machines.peers([1, 2, 3]);
        machines.start_with_peers(id, &peers, &[]).await;
        machines.leader().await;
        machines.settled().await;
        let key = format!("moved-{id}");
        client.try_put(&key, "x", 0, PATIENCE).await.unwrap();
    }
    // Only the nodes that have moved are left.
    machines.kill(other).await;
    machines.leader().await;
    machines.write(&[follower, leader], "after").await;
    machines.check(&[follower, leader]).await;
}

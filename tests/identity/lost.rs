//! Voters that come back with less than they have acknowledged: an older copy of their folder takes the place of the newer one.

use traitwire_kv::services::rsm::NodeRole;

use crate::common::machines::{Machines, PATIENCE, copy_folder};
use crate::common::wait::until;

/// The leader notices, says so, and does not count the node until it has caught up.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_older_copy_of_its_log_does_not_vote_until_it_has_caught_up() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    let leader = machines.leader().await;
    let (node, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    machines.kill(node).await;
    let old = machines.data(node).with_extension("old");
    copy_folder(&machines.data(node), &old);
    machines.start(node, &[]).await;
    machines.write(&[1, 2, 3], "after").await;
    let before = machines.settled().await;
    assert_eq!(machines.leader().await, leader, "a follower that restarts deposes nobody");
    machines.kill(node).await;
    copy_folder(&old, &machines.data(node));
    machines.start(node, &[]).await;
    let lost = format!("node {node} has less of the log than it has acknowledged");
    machines.process(leader).logged(&[&lost, "does not vote until it has caught up"]).await;
    // A learner first, and a voter again.
    machines.process(leader).logged(&["membership changed", &format!("learners=\"{node}\"")]).await;
    until(PATIENCE, "the node to vote again", async || {
        let changes = machines.process(leader).lines();
        let last = changes.iter().rfind(|line| line.contains("membership changed"))?;
        (last.contains("voters=\"1,2,3\"") && !last.contains("outgoing")).then_some(())
    })
    .await;
    let after = machines.settled().await;
    let incarnation = |statuses: &[traitwire_kv::services::rsm::StatusReply]| {
        statuses.iter().find(|status| status.id == node).unwrap().incarnation
    };
    assert_eq!(incarnation(&after), incarnation(&before), "it is the same node");
    // It counts: without the third node nothing is committed unless it has it.
    machines.kill(other).await;
    machines.write(&[leader, node], "with it").await;
    machines.check(&[leader, node]).await;
}

/// Two of three nodes lose what all three have committed. The third one cannot follow them, says so, and keeps what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_committed_log_contradicts_the_leader_says_so_and_can_rejoin() {
    let mut machines = Machines::founded(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.settled().await;
    let leader = machines.leader().await;
    let (witness, others) = (leader % 3 + 1, [leader, (leader + 1) % 3 + 1]);
    for id in others {
        machines.kill(id).await;
        copy_folder(&machines.data(id), &machines.data(id).with_extension("old"));
    }
    for id in others {
        machines.start(id, &[]).await;
    }
    machines.leader().await;
    // These are lost with a majority of the disks, which no protocol can mend.
    let client = machines.client([1, 2, 3]);
    for number in 0..20 {
        let key = format!("lost-{number}");
        client.try_put(&key, "x", 0, PATIENCE).await.unwrap();
    }
    let (term, committed) = {
        let status = &machines.settled().await[0];
        (status.term, status.commit_index)
    };
    // The witness is stopped, not killed: it remembers what is committed.
    machines.process(witness).signal("STOP").await;
    for id in others {
        machines.kill(id).await;
        copy_folder(&machines.data(id).with_extension("old"), &machines.data(id));
    }
    for id in others {
        machines.start(id, &[]).await;
    }
    // In the same terms they may elect the same leaders again, whose entries cannot be told from those that are lost.
    loop {
        let leader = machines.leader_of(&others).await;
        if machines.status(leader).await.is_some_and(|status| status.term > term) {
            break;
        }
        machines.crash_and_restart(leader).await;
    }
    machines.write(&others, "other entries").await;
    machines.process(witness).signal("CONT").await;
    let status =
        machines.problem(witness, &["this node has committed another entry at index", "rejoin"]).await;
    assert_eq!((status.role, status.commit_index), (NodeRole::Follower, committed));
    machines.process(witness).logged(&["ERROR", "this node has committed another entry at index"]).await;
    let (code, body) = machines.readiness(witness).await;
    assert_eq!(
        (code, body.contains("[-]member failed: this node has committed another entry")),
        (503, true),
        "{body}"
    );
    // What it says helps.
    machines.kill(witness).await;
    machines.wipe(witness);
    machines.start_with_peers(witness, &machines.peers([1, 2, 3]), &[]).await;
    machines.settled().await;
    machines.write(&[1, 2, 3], "after").await;
    machines.check(&[1, 2, 3]).await;
}

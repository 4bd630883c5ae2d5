//! Nodes are added, removed and replaced.

use traitwire_kv::services::rsm::NodeRole;

use crate::common::machines::Machines;
use crate::operator::{done, join, list, member, voters};

/// One node becomes three, and three become five; clients and commands need to know one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_from_one_node_to_five() {
    let mut machines = Machines::new(5);
    machines.start(1, &[]).await;
    machines.leader().await;
    machines.write(&[1], "alone").await;
    for machine in 2..=5 {
        // Any member will do, also one that does not lead.
        let at = machine - 1;
        assert_eq!(join(&mut machines, machine, at).await, machine);
        let url = machines.url(machine);
        let added = done(member(&machines, &[at], &["add", &url]).await);
        assert_eq!(added.out, format!("node {machine} votes\n"));
        machines.write(&[machine], &format!("with-{machine}")).await;
    }
    assert_eq!(voters(&machines, &[5]).await, [1, 2, 3, 4, 5]);
    machines.settled().await;
    // A majority of five is enough, without the node that was there first.
    machines.kill(1).await;
    machines.kill(2).await;
    machines.check(&[3]).await;
    machines.write(&[3, 4, 5], "without-1-and-2").await;
    // They belong to the cluster without being told again.
    machines.start(1, &[]).await;
    machines.start(2, &[]).await;
    machines.settled().await;
    machines.check(&[1]).await;
}

/// A learner gets everything and does not vote until it is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_votes_once_it_is_promoted() {
    let mut machines = Machines::new(4);
    machines.start_cluster(3).await;
    join(&mut machines, 4, 2).await;
    let url = machines.url(4);
    let added = done(member(&machines, &[1], &["add", &url, "--learner"]).await);
    assert_eq!(added.out, "node 4 is a learner\n");
    machines.write(&[1, 2, 3], "before").await;
    machines
        .status_when(4, "a learner with the log", |it| it.role == NodeRole::Learner && it.applied_index > 5)
        .await;
    assert_eq!(voters(&machines, &[4]).await, [1, 2, 3]);
    done(member(&machines, &[4], &["promote", "4"]).await);
    assert_eq!(voters(&machines, &[4]).await, [1, 2, 3, 4]);
    let again = done(member(&machines, &[1], &["promote", "4", "--json"]).await).json();
    assert_eq!((&again["id"], &again["index"]), (&4.into(), &0.into()), "nothing was to be done");
    let again = done(member(&machines, &[1], &["add", &url]).await);
    assert_eq!(again.out, "node 4 votes\n", "the same node is added again");
}

/// Each node is replaced in turn, the leader included, and then one that is dead.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_is_replaced() {
    let mut machines = Machines::new(7);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "first").await;
    // A client from before goes on with whoever is there.
    let client = machines.client([1, 2, 3]);
    client.try_put("k", "0", 0, crate::common::machines::PATIENCE).await.unwrap();
    for old in 1..=3 {
        let new = old + 3;
        assert_eq!(join(&mut machines, new, old).await, new);
        let url = machines.url(new);
        done(member(&machines, &[old], &["replace", &old.to_string(), &url]).await);
        client.try_put("k", &old.to_string(), old, crate::common::machines::PATIENCE).await.unwrap();
        // The replaced node says that it is not a member any more, and is not ready.
        machines.problem(old, &["removed"]).await;
        let (status, text) = machines.readiness(old).await;
        assert!(status == 503 && text.contains("[-]member failed"), "{text}");
        machines.kill(old).await;
    }
    assert_eq!(voters(&machines, &[5]).await, [4, 5, 6]);
    // One that is dead, whose id and folder are gone for good.
    machines.kill(5).await;
    assert_eq!(join(&mut machines, 7, 4).await, 7);
    let url = machines.url(7);
    done(member(&machines, &[4], &["replace", "5", &url]).await);
    assert_eq!(voters(&machines, &[7]).await, [4, 6, 7]);
    client.try_put("k", "4", 4, crate::common::machines::PATIENCE).await.unwrap();
    machines.settled().await;
    machines.check(&[7]).await;
}

/// With one of three down, a node can be added and the dead one removed.
#[tokio::test(flavor = "multi_thread")]
async fn members_change_with_one_of_three_down() {
    let mut machines = Machines::new(4);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.kill(3).await;
    machines.leader().await;
    join(&mut machines, 4, 1).await;
    let url = machines.url(4);
    done(member(&machines, &[1, 2], &["add", &url]).await);
    assert_eq!(voters(&machines, &[1]).await, [1, 2, 3, 4]);
    let removed = done(member(&machines, &[2], &["remove", "3"]).await);
    assert!(removed.out.starts_with("node 3 has left the cluster"), "{removed:?}");
    assert_eq!(voters(&machines, &[1]).await, [1, 2, 4]);
    machines.write(&[4], "after").await;
    // The removed node returns with its old arguments and data: it is not let in, and hinders nobody.
    let peers = machines.peers([1, 2, 3]);
    machines.start_with_peers(3, &peers, &[]).await;
    machines.problem(3, &["removed"]).await;
    machines.kill(3).await;
    machines.settled().await;
    machines.check(&[1, 2, 4]).await;
}

/// The id of a removed node may be given to a new one. That the other nodes were started with the URL of the old one does not hide
/// the new one from them.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_used_again() {
    let mut machines = Machines::new(4);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "before").await;
    machines.kill(3).await;
    machines.leader().await;
    done(member(&machines, &[1, 2], &["remove", "3"]).await);
    assert_eq!(join(&mut machines, 4, 1).await, 3, "it takes the lowest id above the others");
    let url = machines.url(4);
    done(member(&machines, &[1, 2], &["add", &url]).await);
    assert_eq!(voters(&machines, &[4]).await, [1, 2, 3]);
    machines.settled().await;
    machines.write(&[4], "after").await;
    machines.check(&[4]).await;
}

/// A leader that removes itself hands over, and its clients follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_removes_itself() {
    let mut machines = Machines::new(3);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "before").await;
    for left in (1..=2).rev() {
        let leader = machines.leader().await;
        done(member(&machines, &machines.ids_running(), &["remove", &leader.to_string()]).await);
        machines.kill(leader).await;
        let rest = machines.ids_running();
        assert_eq!(rest.len(), left);
        assert_eq!(voters(&machines, &rest).await, rest);
        machines.write(&rest, &format!("left-{left}")).await;
    }
    let last = machines.ids_running()[0];
    let refused = member(&machines, &[last], &["remove", &last.to_string(), "--json"]).await;
    assert_eq!((refused.code, &refused.json()["error"]["code"]), (3, &"last_voter".into()));
    machines.check(&[last]).await;
}

/// What `member list` shows people.
#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed() {
    let mut machines = Machines::new(3);
    machines.start_cluster(3).await;
    let leader = machines.leader().await;
    let listed = done(member(&machines, &[1], &["list"]).await);
    assert!(listed.out.starts_with("cluster traitwire "), "{listed:?}");
    for id in 1..=3 {
        let role = if id == leader { "leader" } else { "voter" };
        let line = listed.out.lines().find(|line| line.ends_with(&machines.url(id))).unwrap();
        assert!(line.starts_with(&format!("{id} ")) && line.contains(role), "{line}");
    }
    let dead = (1..=3).find(|id| *id != leader).unwrap();
    machines.kill(dead).await;
    crate::common::wait::until(crate::common::machines::PATIENCE, "an unreachable member", async || {
        let list = member(&machines, &[leader], &["list", "--json"]).await.json();
        let members = list["members"].as_array().unwrap();
        members.iter().any(|it| it["id"] == dead && it["reachable"] == false).then_some(())
    })
    .await;
    assert_eq!(list(&machines, &[leader]).await.len(), 3);
}

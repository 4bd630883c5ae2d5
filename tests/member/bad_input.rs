//! What cannot work is refused with the reason, and changes nothing.

use crate::common::machines::Machines;
use crate::operator::{done, join, member, voters};

/// A command that is refused with this code, and a message that has these parts.
async fn refused(machines: &Machines, at: &[u64], arguments: &[&str], code: &str, parts: &[&str]) {
    let before = voters(machines, at).await;
    let mut with_json = arguments.to_vec();
    with_json.push("--json");
    let refused = member(machines, at, &with_json).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    let error = &refused.json()["error"];
    assert_eq!((error["code"].as_str(), error["executed"].as_str()), (Some(code), Some("no")), "{refused:?}");
    for part in parts {
        assert!(error["message"].as_str().unwrap().contains(part), "{part} is not in {error}");
    }
    assert_eq!(voters(machines, at).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_cannot_become_members_are_refused() {
    let mut machines = Machines::new(6);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "before").await;
    let nobody = machines.url(4);
    refused(&machines, &[1], &["add", &nobody], "unreachable", &["does not answer", &nobody]).await;
    refused(&machines, &[2], &["replace", "3", &nobody], "unreachable", &["does not answer"]).await;
    // A cluster of its own.
    machines.start(4, &[]).await;
    crate::common::wait::until(crate::common::machines::PATIENCE, "another cluster", async || {
        machines.status(4).await.filter(|status| status.leader.is_some())
    })
    .await;
    let other = machines.url(4);
    refused(&machines, &[3], &["add", &other], "unsuitable", &["another cluster"]).await;
    // A cluster of another name.
    machines.start(5, &["--cluster", "other"]).await;
    let other = machines.url(5);
    refused(&machines, &[3], &["add", &other], "unsuitable", &["`other`", "`traitwire`"]).await;
    // An id that is in use.
    let url = machines.url(1);
    let (code, error) = machines.fails_to_start(6, &["--id", "2", "--join", &url]).await;
    assert!(code == 1 && error.contains("node 2 is a member of that cluster already"), "{error}");
    let double = machines.url(6);
    // No node of a cluster at all.
    let memory = crate::common::process::ServerProcess::start(["--memory"]).await;
    refused(&machines, &[1], &["add", memory.url()], "unsuitable", &["not a node"]).await;
    refused(&machines, &[1], &["replace", "9", &double], "no_member", &["node 9", "1, 2, 3"]).await;
    refused(&machines, &[1], &["remove", "9"], "no_member", &["node 9", "1, 2, 3"]).await;
    refused(&machines, &[1], &["promote", "9"], "no_member", &["node 9", "1, 2, 3"]).await;
    machines.check(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_would_leave_no_majority_alive_is_refused() {
    let mut machines = Machines::new(3);
    machines.start_cluster(3).await;
    let leader = machines.leader().await;
    let [alive, dead] = machines.ids().into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        unreachable!("there are three nodes");
    };
    machines.kill(dead).await;
    // The leader needs a moment to notice.
    crate::common::wait::until(crate::common::machines::PATIENCE, "a dead member", async || {
        let list = member(&machines, &[leader], &["list", "--json"]).await.json();
        let members = list["members"].as_array().unwrap();
        members.iter().any(|it| it["id"] == dead && it["reachable"] == false).then_some(())
    })
    .await;
    let url = machines.url(dead);
    refused(
        &machines,
        &[leader],
        &["remove", &alive.to_string()],
        "no_majority",
        &["cannot be reached", &url],
    )
    .await;
    done(member(&machines, &[leader], &["remove", &dead.to_string()]).await);
    machines.write(&[leader, alive], "after").await;
}

/// A second change during a change is refused, and names the one in progress, which can be cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_change_is_refused() {
    let mut machines = Machines::new(5);
    machines.start_cluster(3).await;
    let (four, five) = (join(&mut machines, 4, 1).await, join(&mut machines, 5, 1).await);
    assert_eq!((four, five), (4, 4), "nobody has told the cluster about the first one yet");
    // The second one gets an id of its own.
    machines.kill(5).await;
    machines.wipe(5);
    let url = machines.url(1);
    machines.start(5, &["--id", "5", "--join", &url]).await;
    let url = machines.url(4);
    // A node that stands still cannot catch up.
    let adding = {
        let mut command = crate::operator::command(&machines, &[1], &["add", &url, "--timeout", "1"]);
        machines.process(4).signal("STOP").await;
        let unreachable = command.output().await.unwrap();
        assert_eq!(unreachable.status.code(), Some(3), "{unreachable:?}");
        machines.process(4).signal("CONT").await;
        done(member(&machines, &[1], &["add", &url, "--learner"]).await);
        machines.process(4).signal("STOP").await;
        machines.write(&[1, 2, 3], "while-4-stands-still").await;
        member(&machines, &[1], &["promote", "4", "--timeout", "1", "--json"]).await
    };
    assert_eq!((adding.code, &adding.json()["error"]["code"]), (1, &"incomplete".into()), "{adding:?}");
    let other = machines.url(5);
    refused(&machines, &[2], &["add", &other], "in_progress", &["node 4", "catches up"]).await;
    refused(&machines, &[2], &["remove", "3"], "in_progress", &["node 4"]).await;
    done(member(&machines, &[2], &["remove", "4"]).await);
    done(member(&machines, &[2], &["add", &other]).await);
    assert_eq!(voters(&machines, &[1]).await, [1, 2, 3, 5]);
    machines.process(4).signal("CONT").await;
    machines.check(&[5]).await;
}

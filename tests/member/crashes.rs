//! Processes are killed at some step of a change: the cluster works afterwards, and the change is complete or can be made again.

use std::time::Duration;

use crate::common::machines::Machines;
use crate::operator::{command, done, join, member, voters};

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Leader,
    New,
    Old,
    Operator,
}

/// Replaces a node while somebody is killed after a time, and starts the killed one again.
async fn check(victim: Victim, after: Duration) {
    let mut machines = Machines::new(4);
    machines.start_cluster(3).await;
    machines.write(&[1, 2, 3], "before").await;
    let leader = machines.leader().await;
    let old = machines.ids_running().into_iter().find(|id| *id != leader).unwrap();
    let rest: Vec<u64> = machines.ids_running().into_iter().filter(|id| *id != old).collect();
    assert_eq!(join(&mut machines, 4, 1).await, 4);
    let (url, old_text) = (machines.url(4), old.to_string());
    let replace = ["replace", &old_text, &url];
    let mut operator = command(&machines, &rest, &replace).spawn().unwrap();
    tokio::time::sleep(after).await;
    match victim {
        Victim::Leader => machines.crash_and_restart(leader).await,
        Victim::New => machines.crash_and_restart(4).await,
        Victim::Old => machines.crash_and_restart(old).await,
        Victim::Operator => operator.kill().await.unwrap(),
    }
    let _code = crate::common::kv_cluster::soon(operator.wait()).await.unwrap();
    // The same command completes what was begun, whatever the first one has come to.
    let case = format!("{victim:?} killed after {after:?}");
    let again = member(&machines, &rest, &replace).await;
    assert_eq!(again.code, 0, "{case}: {again:?}");
    let mut expected = rest.clone();
    expected.push(4);
    assert_eq!(voters(&machines, &[4]).await, expected, "{case}");
    done(member(&machines, &[4], &["list"]).await);
    machines.kill(old).await;
    machines.write(&expected, "after").await;
    machines.settled().await;
    machines.check(&expected).await;
}

async fn at_every_step(victim: Victim) {
    for after_ms in [0, 15, 30, 60, 120, 250] {
        check(victim, Duration::from_millis(after_ms)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_killed_during_a_change() {
    at_every_step(Victim::Leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_node_is_killed_during_a_change() {
    at_every_step(Victim::New).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_node_is_killed_during_a_change() {
    at_every_step(Victim::Old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_command_is_killed_during_a_change() {
    at_every_step(Victim::Operator).await;
}

//! Very many clients: what is remembered of them is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;
use tokio::task::JoinSet;
use traitwire::{KvClient, Retry, RpcClient};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::services::rsm::{ReplyErr, Rsm, RsmStub, SubmitArgs, Ticket};

use crate::common::history::{RecordedClient, Recorder};
use crate::common::kv_cluster::{Cluster, soon};
use crate::common::network::NetworkConfig;
use crate::snapshots::snapshots;

/// How many sessions the nodes remember.
const SESSIONS_MAX: usize = 10_000;
/// The clients come in waves, each as a number of groups that work at the same time. A group has a key of its own, which its
/// clients put one after the other.
const WAVES: usize = 4;
const GROUPS: usize = 250;
const CLIENTS_PER_GROUP: usize = 20;
const CLIENTS_PER_WAVE: usize = GROUPS * CLIENTS_PER_GROUP;
/// Over so many connections to each node.
const CONNECTIONS: usize = 4;
const VALUE_BYTES: usize = 1_000;
/// What a snapshot holds at most: of each session two numbers of entries, its name, its owner, the number of its one reply,
/// that reply and the checksum of its command, in
/// JSON; and the keys.
const SNAPSHOT_BYTES_MAX: u64 = (SESSIONS_MAX * 176 + GROUPS * (VALUE_BYTES + 64)) as u64;
/// By how much the memory of a node may grow. A session takes 600 bytes: a node of a tree for its replies (384), the reply
/// (48), and its places in two more trees. There may be two copies of all of them while a snapshot is made (12 MB), and the
/// snapshot itself in JSON (2 MB). Of the log there are twice the bytes of a snapshot (3 MB). Keys are a
/// quarter of a megabyte. What the allocator does not give back is allowed as much again. With the log of all puts the nodes
/// would need 25 MB more.
const GROWTH_BYTES_MAX: u64 = 2 * (12 + 2 + 3) * 1_000_000;

/// Connections to all nodes, which many clients share.
fn connections(cluster: &Cluster) -> Vec<Vec<RpcClient>> {
    let to = |url| RpcClient::builder(url).retry(Retry::never()).build();
    (0..CONNECTIONS).map(|_| cluster.urls().into_iter().map(to).collect()).collect()
}

fn key(group: usize) -> String {
    format!("group {group}")
}

/// New clients, each of which puts once. Gives the first one of each group.
async fn wave(
    recorder: &Arc<Recorder>,
    connections: &[Vec<RpcClient>],
    number: usize,
) -> Vec<Arc<RecordedClient>> {
    let mut groups = JoinSet::new();
    for group in 0..GROUPS {
        let (recorder, connection) = (recorder.clone(), connections[group % CONNECTIONS].clone());
        groups.spawn(async move {
            let value = "v".repeat(VALUE_BYTES);
            let mut first = None;
            for client in 0..CLIENTS_PER_GROUP {
                let version = (number * CLIENTS_PER_GROUP + client) as u64;
                let id = version * GROUPS as u64 + group as u64 + 1;
                let client = recorder.client(id, ClusterKvClient::over(connection.clone()));
                assert_eq!(soon(client.put(&key(group), &value, version)).await, Ok(()));
                first.get_or_insert(client);
            }
            (group, first.unwrap())
        });
    }
    let first: BTreeMap<_, _> = groups.join_all().await.into_iter().collect();
    first.into_values().collect()
}

/// Asks the leader, whichever it is, until it answers as one.
async fn leader_says<T, F: Future<Output = Result<T, ReplyErr>>>(
    cluster: &Cluster,
    ask: impl Fn(RsmStub) -> F,
) -> Result<T, ReplyErr> {
    loop {
        let stub = RsmStub::new(cluster.line(cluster.leader().await));
        match soon(ask(stub)).await {
            Err(ReplyErr::WrongLeader { .. } | ReplyErr::NoAnswer { .. }) => {}
            said => return said,
        }
    }
}

/// K15, on a cluster: 20,000 clients put 1 kB each, once. Sessions are remembered up to a bound, memory with them, and who
/// was forgotten goes on.
#[tokio::test]
async fn twenty_thousand_clients_are_served_and_forgotten() {
    let arguments = ["--snapshot-log-bytes", "1000000"];
    let reliable = NetworkConfig::reliable();
    let cluster = Cluster::start_with(3, reliable.clone(), reliable, &arguments).await;
    cluster.leader().await;
    let connections = connections(&cluster);
    let began = Instant::now();
    let resident = || cluster.nodes.values().map(|node| node.resident_bytes().unwrap()).collect::<Vec<_>>();
    let (mut sessions, mut clients) = (Vec::new(), Vec::new());
    let at_first = resident();
    for number in 0..WAVES {
        let opened = leader_says(&cluster, |stub| async move { stub.open_session().await }).await.unwrap();
        sessions.push(opened.session);
        clients.push(wave(&cluster.recorder, &connections, number).await);
        println!(
            "{} clients after {:?}: resident {:?}",
            (number + 1) * CLIENTS_PER_WAVE,
            began.elapsed(),
            resident()
        );
    }

    // A session lives as long as fewer than the bound are newer.
    for (wave, session) in sessions.into_iter().enumerate() {
        let newer = (WAVES - wave) * CLIENTS_PER_WAVE + (WAVES - wave - 1);
        let ticket = Ticket { session, number: 1, answered_below: 1 };
        let command = r#"{"put":{"key":"k","value":"","version":9}}"#;
        let command = RawValue::from_string(command.to_owned()).unwrap();
        let said = leader_says(&cluster, |stub| {
            let args = SubmitArgs { ticket: Some(ticket), command: command.clone() };
            async move { stub.submit(args).await }
        });
        match said.await {
            Err(ReplyErr::NoSession) => assert!(newer >= SESSIONS_MAX, "one of {newer} was forgotten"),
            Ok(_) => assert!(newer < SESSIONS_MAX, "one that {newer} are newer than was kept"),
            Err(other) => panic!("{other}"),
        }
    }
    // The first clients were forgotten, the last ones were not; neither kind learns of it.
    let mut version = (WAVES * CLIENTS_PER_GROUP) as u64;
    for wave in [0, WAVES - 1] {
        for (group, client) in clients[wave].iter().enumerate() {
            assert_eq!(soon(client.put(&key(group), "again", version)).await, Ok(()));
        }
        version += 1;
    }
    for (group, client) in clients[0].iter().enumerate() {
        assert_eq!(soon(client.get(&key(group))).await, Ok(("again".to_owned(), version)));
    }
    println!("all after {:?}: resident {:?}", began.elapsed(), resident());
    for (at_first, id) in at_first.into_iter().zip(cluster.ids()) {
        let resident = cluster.nodes[&id].resident_bytes().unwrap();
        assert!(resident <= at_first + GROWTH_BYTES_MAX, "node {id}: {at_first} bytes became {resident}");
        let sizes = snapshots(&cluster.data(id));
        println!("node {id} has snapshots of {sizes:?} bytes");
        assert!(
            !sizes.is_empty() && sizes.iter().all(|size| *size <= SNAPSHOT_BYTES_MAX),
            "node {id}: {sizes:?}"
        );
    }
    cluster.finish().await;
}

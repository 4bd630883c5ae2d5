//! Messages and calls that no correct node or client sends, to nodes of a cluster that works: each node survives them, also
//! with a restart, and the cluster keeps a leader and loses nothing.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use traitwire::{CallContext, Code};
use traitwire_kv::kv_raft::raft::core::Role;
use traitwire_kv::kv_raft::raft::{PROTOCOL, RaftService};
use traitwire_kv::kv_raft::rsm::RsmOptions;
use traitwire_kv::services::raft::{
    AppendEntriesArgs, Command, Entry, InstallSnapshotArgs, LinkDelay, Membership, NodeId, Payload,
    Raft as _, Sender, SnapshotBytes, SnapshotMeta, TimeoutNowArgs, VoteArgs,
};
use traitwire_kv::services::rsm::{ReplyErr, Ticket};

use super::cluster::{CLUSTER, Cluster, NODES, PATIENCE, number};

/// A number of the kind that breaks things: small, near what the node has, near a power of two, or anything.
fn odd_number(lot: &mut fastrand::Rng, near: u64) -> u64 {
    match lot.u8(..6) {
        0 => lot.u64(..4),
        1 => near.saturating_add(lot.u64(..3)).saturating_sub(1),
        2 => (1_u64 << lot.u32(..64)).wrapping_sub(lot.u64(..3)),
        3 => u64::MAX - lot.u64(..3),
        4 => lot.u64(..),
        _ => (u64::MAX >> 1) - lot.u64(..3),
    }
}

fn membership(lot: &mut fastrand::Rng) -> Membership {
    let mut list = |most: usize| -> Vec<NodeId> { (0..lot.usize(..=most)).map(|_| lot.u64(..7)).collect() };
    Membership { voters: list(4), outgoing: list(2), learners: list(2), ..Membership::default() }
}

fn payload(lot: &mut fastrand::Rng) -> Payload {
    match lot.u8(..4) {
        0 => Payload::Blank,
        1 => Payload::Membership(Box::new(membership(lot))),
        2 => Payload::Command(Command::from_json("7".to_owned()).unwrap()),
        _ => Payload::Command(Command::new("not a command \u{1b}[31m\n").unwrap()),
    }
}

/// Sends one hostile message as `from`. It may get any answer.
async fn send_hostile(
    service: &Arc<RaftService>,
    from: NodeId,
    to: NodeId,
    lot: &mut fastrand::Rng,
    near: (u64, u64),
) {
    let sender = Sender { cluster: CLUSTER.to_owned(), protocol: PROTOCOL, from, to, ..Sender::default() };
    let (term, index) = (odd_number(lot, near.0), odd_number(lot, near.1));
    let vote = VoteArgs {
        term,
        last_index: index,
        last_term: odd_number(lot, term.saturating_sub(1)),
        transfer: lot.bool(),
    };
    match lot.u8(..5) {
        0 => drop(service.pre_vote(sender, vote).await),
        1 => drop(service.request_vote(sender, vote).await),
        2 => {
            let entries = (0..lot.usize(..3)).map(|_| {
                let term = if lot.bool() { term } else { odd_number(lot, term) };
                Entry { term, payload: payload(lot) }
            });
            let entries = entries.collect();
            let args = AppendEntriesArgs {
                term,
                round: lot.u64(..),
                prev_index: if lot.bool() { 0 } else { index },
                prev_term: if lot.bool() { 0 } else { odd_number(lot, near.0) },
                entries,
                commit: odd_number(lot, index),
                delay: lot.bool().then(|| LinkDelay {
                    round_trip_ms: odd_number(lot, 200),
                    busy_ms: odd_number(lot, 200),
                }),
            };
            drop(service.append_entries(sender, args).await);
        }
        3 => drop(service.timeout_now(sender, TimeoutNowArgs { term }).await),
        _ => {
            let bytes: Vec<u8> = (0..lot.usize(..64)).map(|_| lot.u8(..)).collect();
            let args = InstallSnapshotArgs {
                term,
                round: lot.u64(..),
                snapshot: SnapshotMeta {
                    last_index: index,
                    last_term: odd_number(lot, near.0).min(term),
                    membership: Box::new(if lot.bool() {
                        Membership::of(1..=NODES)
                    } else {
                        membership(lot)
                    }),
                },
                offset: if lot.bool() { 0 } else { odd_number(lot, 64) },
                data: SnapshotBytes(Bytes::from(bytes)),
                last: lot.bool(),
            };
            drop(service.install_snapshot(sender, args).await);
        }
    }
}

/// Adds one. The leader may be deposed meanwhile.
async fn add(cluster: &Cluster, acknowledged: &mut u64, unknown: &mut u64) {
    match cluster.leader().await.submit(&number(1), None).await {
        Ok(_) => *acknowledged += 1,
        Err(error) => *unknown += u64::from(error.may_be_submitted()),
    }
}

#[tokio::test]
async fn a_cluster_survives_hostile_messages() {
    for seed in 0..6 {
        let mut lot = fastrand::Rng::with_seed(seed);
        let mut cluster = Cluster::start(RsmOptions { snapshot_log_bytes: 2_000 });
        // How many additions were acknowledged, and how many others may have taken effect.
        let (mut acknowledged, mut unknown) = (0, 0);
        for round in 0..3 {
            for _ in 0..60 {
                add(&cluster, &mut acknowledged, &mut unknown).await;
                let to = lot.u64(1..=NODES);
                let from = (1..=NODES).filter(|id| *id != to).nth(lot.usize(..2)).unwrap();
                let status = cluster.nodes[&to].raft().status();
                let service = cluster.board.0.lock().unwrap().services[&to].clone();
                send_hostile(&service, from, to, &mut lot, (status.term, status.last_index)).await;
            }
            if round == 1 {
                cluster.restart().await;
            }
        }
        let before = acknowledged;
        while acknowledged == before {
            add(&cluster, &mut acknowledged, &mut unknown).await;
        }
        // The last messages may still depose a leader.
        let read = async {
            loop {
                if let Ok(count) = cluster.leader().await.read(|count| count.count).await {
                    break count;
                }
            }
        };
        let count = tokio::time::timeout(PATIENCE, read).await.expect("a leader");
        let possible = acknowledged..=acknowledged + unknown;
        assert!(possible.contains(&count), "seed {seed}: {count}, not in {possible:?}");
        cluster.all_count(count).await;
        for (id, node) in &cluster.nodes {
            let term = node.raft().status().term;
            assert!(term < 1 << 40, "seed {seed}: node {id} is in term {term}");
        }
    }
}

/// A term that no correct node can have reached is not believed, whichever message names it. Those that it may have reached
/// are.
#[tokio::test]
async fn terms_far_ahead_are_not_believed() {
    let cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let service = cluster.board.0.lock().unwrap().services[&1].clone();
    let own = cluster.nodes[&1].raft().status().term;
    for term in [own + (1 << 33), 1 << 48, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX] {
        let sender = || Sender {
            cluster: CLUSTER.to_owned(),
            protocol: PROTOCOL,
            from: 2,
            to: 1,
            ..Sender::default()
        };
        let vote = VoteArgs { term, last_index: 0, last_term: 0, transfer: true };
        let append = AppendEntriesArgs {
            term,
            round: 1,
            prev_index: 0,
            prev_term: 0,
            entries: vec![],
            commit: 0,
            delay: None,
        };
        let snapshot =
            SnapshotMeta { last_index: 9, last_term: 1, membership: Box::new(Membership::of(1..=NODES)) };
        let install = InstallSnapshotArgs {
            term,
            round: 1,
            snapshot,
            offset: 0,
            data: SnapshotBytes::default(),
            last: true,
        };
        let errors = [
            service.pre_vote(sender(), vote.clone()).await.unwrap_err(),
            service.request_vote(sender(), vote).await.unwrap_err(),
            service.append_entries(sender(), append).await.unwrap_err(),
            service.install_snapshot(sender(), install).await.unwrap_err(),
            service.timeout_now(sender(), TimeoutNowArgs { term }).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            assert!(error.message().contains(&term.to_string()), "{error}");
        }
    }
    let vote = VoteArgs { term: own + 1_000_000, last_index: 1 << 20, last_term: own, transfer: true };
    let sender =
        Sender { cluster: CLUSTER.to_owned(), protocol: PROTOCOL, from: 2, to: 1, ..Sender::default() };
    assert!(service.request_vote(sender, vote).await.unwrap().granted);
    let follows = |cluster: &Cluster| {
        let mut status = cluster.nodes.values().map(|node| node.raft().status());
        status.all(|it| (own + 1_000_000..own + 2_000_000).contains(&it.term) && it.leader.is_some())
    };
    cluster.until("a leader of a later term", follows).await;
    assert_eq!(cluster.add(1).await, 2);
}

/// A received snapshot that is not one of this state machine is refused, in one piece or in several, and the node goes on
/// with what it has.
#[tokio::test]
async fn a_snapshot_that_is_garbage_is_discarded() {
    let mut cluster = Cluster::start(RsmOptions::default());
    cluster.add(5).await;
    cluster.all_count(5).await;
    let good_head = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let head = r#"{"digest":1,"sessions":[]}"#;
    let states = [
        vec![],
        b"garbage".to_vec(),
        vec![0xff; 4_096],
        good_head("{}"),
        good_head(head),
        [good_head(head), b"not a count".to_vec()].concat(),
        [good_head(head), vec![0; 100]].concat(),
        [&u64::MAX.to_le_bytes()[..], head.as_bytes(), b"7"].concat(),
    ];
    for (state, pieces) in states.iter().flat_map(|state| [(state, 1), (state, 3)]) {
        let service = cluster.board.0.lock().unwrap().services[&1].clone();
        let status = cluster.nodes[&1].raft().status();
        let snapshot = SnapshotMeta {
            last_index: status.last_index + 10,
            last_term: status.term,
            membership: Box::new(Membership::of(1..=NODES)),
        };
        let term = status.term + 1;
        let mut outcome = None;
        let size = state.len().div_ceil(pieces).max(1);
        let chunks: Vec<&[u8]> = if state.is_empty() { vec![&[]] } else { state.chunks(size).collect() };
        for (place, chunk) in chunks.iter().enumerate() {
            let sender = Sender {
                cluster: CLUSTER.to_owned(),
                protocol: PROTOCOL,
                from: 2,
                to: 1,
                ..Sender::default()
            };
            let args = InstallSnapshotArgs {
                term,
                round: 1,
                snapshot: snapshot.clone(),
                offset: (place * size) as u64,
                data: SnapshotBytes(Bytes::copy_from_slice(chunk)),
                last: place + 1 == chunks.len(),
            };
            outcome = Some(service.install_snapshot(sender, args).await);
        }
        let outcome = outcome.unwrap();
        // Another leader may have come in between; then the node listens to nobody of the term before.
        let installed = outcome.as_ref().is_ok_and(|it| format!("{:?}", it.progress) == "Installed");
        assert!(!installed, "{outcome:?}");
        assert_eq!(cluster.nodes[&1].peek(|count| count.count), 5);
    }
    // The leader is deposed by the terms of these messages, and may not have heard of the last one.
    let term = cluster.nodes[&1].raft().status().term;
    let goes_on = |cluster: &Cluster| {
        let mut status = cluster.nodes.values().map(|node| node.raft().status());
        status.any(|it| it.role == Role::Leader && it.term >= term)
            && cluster.nodes.values().all(|node| node.raft().status().term >= term)
    };
    cluster.until("a leader of that term or a later one", goes_on).await;
    assert_eq!(cluster.add(1).await, 6);
    cluster.restart().await;
    assert_eq!(cluster.add(1).await, 7);
    cluster.all_count(7).await;
}

/// Whatever a client does with sessions, those of others go on, and nobody can use a session by guessing.
#[tokio::test]
async fn sessions_are_their_owners() {
    let cluster = Cluster::start(RsmOptions::default());
    cluster.add(1).await;
    let leader = cluster.leader().await;
    let open = async |client: &str| {
        let mut headers = traitwire::http::HeaderMap::new();
        headers.insert(&traitwire::CLIENT_ID, client.parse().unwrap());
        let context = CallContext { headers: headers.into(), ..CallContext::default() };
        context.scope(leader.open_session()).await.unwrap()
    };
    let session = open("1").await;
    let ticket = |session, number| Some(Ticket { session, number, answered_below: 1 });
    assert_eq!(leader.submit(&number(1), ticket(session, 1)).await.unwrap().get(), "2");
    // Near what the log has, near the session, and anything.
    let guesses = (0..200).chain((1..64).map(|bit| session ^ (1 << bit))).chain([session.wrapping_add(1)]);
    for guess in guesses.filter(|guess| *guess != session) {
        let refused = leader.submit(&number(100), ticket(guess, 2)).await;
        assert_eq!(refused.unwrap_err(), ReplyErr::NoSession, "{guess}");
    }
    assert_eq!(leader.submit(&number(1), ticket(session, 2)).await.unwrap().get(), "3");
    let mut names = Vec::new();
    for _ in 0..88 {
        let mut opening = JoinSet::new();
        for _ in 0..250 {
            let leader = leader.clone();
            opening.spawn(async move { leader.open_session().await.unwrap() });
        }
        names.extend(opening.join_all().await);
    }
    let low = names.iter().filter(|name| **name < 1 << 48).count();
    assert!(low < 10, "{low} of {} names are small", names.len());
    assert_eq!(leader.submit(&number(1), ticket(session, 2)).await.unwrap().get(), "3", "the same command");
    assert_eq!(leader.submit(&number(1), ticket(session, 3)).await.unwrap().get(), "4");
    // A number that was given to another command is not an acknowledgement of this one.
    let other = leader.submit(&number(7), ticket(session, 3)).await;
    assert!(matches!(other, Err(ReplyErr::Invalid(_))), "{other:?}");
}

//! Our nodes as a program has them: `Raft` handles, with storages in memory. Messages go to the other node's service as they
//! are, without a network and without JSON.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::oneshot;
use traitwire::{RpcError, RpcResult};
use traitwire_kv::kv_raft::raft::core::{Committed, Reply, Request, Role};
use traitwire_kv::kv_raft::raft::storage::Memory;
use traitwire_kv::kv_raft::raft::{Applies, PROTOCOL, Raft, RaftService, Transport};
use traitwire_kv::services::raft::{Entry, Index, NodeId, Raft as _, Sender, Term};

use super::NODES;
use super::clients::{Cluster, Leader};
use super::ours_core::{command, options};

/// The name of the cluster.
const CLUSTER: &str = "bench";

/// The services of all nodes, once they are started.
type Services = Arc<OnceLock<BTreeMap<NodeId, Arc<RaftService>>>>;

/// Calls the other nodes' services.
struct Direct {
    from: NodeId,
    services: Services,
}

#[traitwire::async_trait]
impl Transport for Direct {
    async fn send(&self, to: NodeId, request: Request) -> RpcResult<Reply> {
        let service = self.services.get().and_then(|services| services.get(&to));
        let service = service.ok_or_else(|| RpcError::unavailable("the node is not there yet"))?;
        let sender = Sender { cluster: CLUSTER.to_owned(), protocol: PROTOCOL, from: self.from, to, ..Sender::default() };
        Ok(match request {
            Request::PreVote(args) => Reply::PreVote(service.pre_vote(sender, args).await?),
            Request::Vote(args) => Reply::Vote(service.request_vote(sender, args).await?),
            Request::Append(args) => Reply::Append(service.append_entries(sender, args).await?),
            Request::Snapshot(args) => Reply::Snapshot(service.install_snapshot(sender, args).await?),
            Request::TimeoutNow(args) => Reply::TimeoutNow(service.timeout_now(sender, args).await?),
        })
    }
}

/// The leader's state machine: it has nothing but those who wait for it.
#[derive(Default)]
struct Waiters(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Up to where entries are applied.
    applied: Index,
    /// For those who ask late: from which index on they have which term.
    terms: Vec<(Index, Term)>,
    /// Who waits for the entries after `applied`, in order.
    waiters: VecDeque<Option<oneshot::Sender<Term>>>,
}

impl Waiters {
    fn apply(&self, first: Index, entries: &[Entry]) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, entry) in (first..).zip(entries) {
            waiting.applied = index;
            if waiting.terms.last().is_none_or(|(_, term)| *term != entry.term) {
                waiting.terms.push((index, entry.term));
            }
            if let Some(waiter) = waiting.waiters.pop_front().flatten() {
                // A client that is stopped at the end of a run does not wait.
                let _stopped = waiter.send(entry.term);
            }
        }
    }

    /// Waits for the entry at `index`, and gives its term.
    async fn wait(&self, index: Index) -> Term {
        let answered = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if index <= waiting.applied {
                let runs = waiting.terms.partition_point(|(since, _)| *since <= index);
                return waiting.terms[runs - 1].1;
            }
            let place = usize::try_from(index - waiting.applied - 1).expect("little is outstanding");
            if waiting.waiters.len() <= place {
                waiting.waiters.resize_with(place + 1, || None);
            }
            let (answer, answered) = oneshot::channel();
            waiting.waiters[place] = Some(answer);
            answered
        };
        answered.await.expect("the state machine outlives the clients")
    }
}

/// Three nodes.
pub struct Rafts {
    rafts: Vec<Arc<Raft>>,
    leader: Handle,
}

/// The node that leads.
#[derive(Clone)]
pub struct Handle {
    raft: Arc<Raft>,
    waiters: Arc<Waiters>,
}

impl Cluster for Rafts {
    type Leader = Handle;

    async fn start() -> Self {
        let services = Services::default();
        let mut nodes = Vec::new();
        for id in 1..=NODES {
            let transport = Arc::new(Direct { from: id, services: services.clone() });
            let (raft, applies) = Raft::start(CLUSTER, options(id), Memory::default().open(), transport)
                .expect("the system gives a thread");
            let waiters = Arc::new(Waiters::default());
            tokio::spawn(apply_all(applies, waiters.clone()));
            nodes.push(Handle { raft, waiters });
        }
        let by_id = (1..=NODES).zip(nodes.iter().map(|node| node.raft.service())).collect();
        assert!(services.set(by_id).is_ok(), "the services are set once");
        let leads = nodes[0]
            .raft
            .watch()
            .wait_for(|status| status.leader.is_some())
            .await
            .map(|status| status.leader);
        let leader = leads.ok().flatten().expect("node 1 runs, and follows somebody");
        let place = usize::try_from(leader - 1).expect("there are few nodes");
        let mut status = nodes[place].raft.watch();
        status.wait_for(|status| status.role == Role::Leader).await.expect("the node runs");
        let leader = nodes[place].clone();
        Self { rafts: nodes.into_iter().map(|node| node.raft).collect(), leader }
    }

    fn leader(&self) -> Handle {
        self.leader.clone()
    }

    async fn stop(self) {
        for raft in self.rafts {
            raft.stop().await;
        }
    }
}

async fn apply_all(mut applies: Applies, waiters: Arc<Waiters>) {
    while let Some(committed) = applies.next().await {
        if let Committed::Entries { first, entries } = committed {
            waiters.apply(first, &entries);
        }
    }
}

impl Leader for Handle {
    async fn commit(&self) {
        let (index, term) = self.raft.submit(command()).await.expect("the node leads and takes commands");
        assert_eq!(self.waiters.wait(index).await, term, "the leader has lost its leadership");
    }
}

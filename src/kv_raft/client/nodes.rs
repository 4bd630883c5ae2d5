//! The nodes that a client knows: which one to ask, how, and what to do when it was the wrong one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use traitwire::{RpcClient, RpcError};

use super::session::{Session, Sessions};
use crate::call::{Pause, within};
use crate::services::kv::KvStub;
use crate::services::raft::NodeId;
use crate::services::rsm::{ReplyErr, Rsm as _, RsmStub};

/// How long one node may take to answer before another one is asked.
const TRY_TIME: Duration = Duration::from_secs(1);

/// How long a node passes calls on whose leader is not among the nodes of the client, before it is asked again who leads.
const PASS_ON_TIME: Duration = Duration::from_secs(10);

/// How often a node is asked that loses calls before another one is.
const TRIES_PER_NODE: usize = 3;

/// The nodes, and what is known of them.
pub(super) struct Shared {
    nodes: Vec<Node>,
    /// The node that is asked first: the leader, as far as is known.
    current: AtomicUsize,
    pub(super) sessions: Sessions,
    created: Instant,
}

struct Node {
    rsm: RsmStub,
    kv: KvStub,
    /// Its id, once it has said so; 0 before.
    id: AtomicU64,
    /// Until when calls go to its key-value service, in milliseconds after the client was created; 0 while it is asked as a
    /// node that may lead.
    passes_on_until_ms: AtomicU64,
}

/// How a node is called.
pub(super) enum Way {
    /// As the node that leads, with tickets.
    Rsm(RsmStub),
    /// By its key-value service: as a node that passes calls on to a leader that this client does not know, or as a server
    /// that is no part of a cluster.
    Kv(KvStub),
}

/// How a call has gone so far.
#[derive(Default)]
pub(super) struct Tries {
    /// How much longer than usual a node may take: a large command takes its time on slow links.
    more_time: Duration,
    pause: Pause,
    /// How often the current node has not answered.
    unanswered: usize,
    /// How many nodes have refused, one after the other.
    refused: usize,
    /// Whether the next try can go on at once, to a node that is said to lead.
    knows_better: bool,
    /// What the last try was refused with, if there was no leader.
    refusal: Option<ReplyErr>,
}

impl Tries {
    /// The tries of a call each of which may take so much longer than usual.
    pub(super) fn with_more_time(more_time: Duration) -> Self {
        Self { more_time, ..Self::default() }
    }

    /// Another node is known to be the right one. Nodes that point at each other are not believed without end.
    pub(super) fn go_on_at_once(&mut self, nodes: usize) {
        self.refused += 1;
        self.knows_better = self.refused <= nodes;
    }

    /// Waits before the next try, or returns why the call ends.
    pub(super) async fn pause(&mut self, error: ReplyErr, end: Option<Instant>) -> Result<(), RpcError> {
        // A last try that the end of the call has cut off says less than the refusals before it.
        let is_cut_off =
            matches!(error, ReplyErr::NoAnswer { .. }) && end.is_some_and(|end| Instant::now() >= end);
        let error = self.refusal.take().filter(|_| is_cut_off).unwrap_or(error);
        if matches!(error, ReplyErr::WrongLeader { .. }) {
            self.refusal = Some(error.clone());
        }
        if std::mem::take(&mut self.knows_better) && end.is_none_or(|end| Instant::now() < end) {
            return Ok(());
        }
        self.pause.before_another(error.into(), end).await
    }
}

impl Shared {
    pub(super) fn new(clients: impl IntoIterator<Item = RpcClient>) -> Self {
        let node = |client: RpcClient| Node {
            rsm: RsmStub::new(client.clone()),
            kv: KvStub::new(client),
            id: AtomicU64::new(0),
            passes_on_until_ms: AtomicU64::new(0),
        };
        let nodes: Vec<_> = clients.into_iter().map(node).collect();
        assert!(!nodes.is_empty(), "a client needs a node to ask");
        let current = AtomicUsize::new(fastrand::usize(..nodes.len()));
        Self { nodes, current, sessions: Sessions::default(), created: Instant::now() }
    }

    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node to ask, and how.
    pub(super) fn current(&self) -> (usize, Way) {
        let place = self.current.load(Ordering::Relaxed);
        let node = &self.nodes[place];
        let passes_on = match node.passes_on_until_ms.load(Ordering::Relaxed) {
            0 => false,
            until_ms if self.now_ms() < until_ms => true,
            _ => {
                node.passes_on_until_ms.store(0, Ordering::Relaxed);
                false
            }
        };
        (place, if passes_on { Way::Kv(node.kv.clone()) } else { Way::Rsm(node.rsm.clone()) })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Awaits the answer of the node at `place`; where it was not the right one to ask, the next call asks another.
    pub(super) async fn ask<T>(
        &self,
        place: usize,
        tries: &mut Tries,
        end: Option<Instant>,
        call: impl Future<Output = Result<T, ReplyErr>>,
    ) -> Result<T, ReplyErr> {
        let soon = Instant::now() + TRY_TIME + tries.more_time;
        let until = end.map_or(soon, |end| end.min(soon));
        let result = within(Some(until), call).await;
        match &result {
            Err(ReplyErr::WrongLeader { leader, .. }) => {
                tries.unanswered = 0;
                self.follow_hint(tries, place, *leader, end).await;
            }
            Err(ReplyErr::Unimplemented(_)) => self.pass_on(tries, place),
            Err(ReplyErr::NoAnswer { .. }) => {
                // Half of what a bad network loses is lost on the way to the right node, which shows at once where a
                // connection ends. A node that has let all its time pass may hang.
                tries.unanswered += 1;
                if tries.unanswered >= TRIES_PER_NODE || Instant::now() >= soon {
                    tries.unanswered = 0;
                    self.move_on(place);
                }
            }
            Ok(_)
            | Err(
                ReplyErr::NoSession
                | ReplyErr::TooManyUnanswered
                | ReplyErr::Exhausted(_)
                | ReplyErr::Invalid(_),
            ) => {}
        }
        result
    }

    /// Another call may have moved on already.
    fn move_on(&self, from: usize) {
        let next = (from + 1) % self.nodes.len();
        let _moved = self.current.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn follow_hint(
        &self,
        tries: &mut Tries,
        place: usize,
        leader: Option<NodeId>,
        end: Option<Instant>,
    ) {
        let Some(leader) = leader else { return self.move_on(place) };
        match self.node_with_id(leader, end).await {
            Some(node) if node != place => {
                self.current.store(node, Ordering::Relaxed);
                tries.go_on_at_once(self.nodes.len());
            }
            Some(_) => self.move_on(place),
            None => self.pass_on(tries, place),
        }
    }

    /// Lets the node pass calls on for a while: the leader is none of this client's nodes, or there is none to be known.
    fn pass_on(&self, tries: &mut Tries, place: usize) {
        let pass_on_ms = u64::try_from(PASS_ON_TIME.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.now_ms().saturating_add(pass_on_ms);
        self.nodes[place].passes_on_until_ms.store(until_ms, Ordering::Relaxed);
        tries.go_on_at_once(self.nodes.len());
    }

    /// Which node has this id. Nodes are asked for theirs when it is first needed, for no longer than half of the time that is
    /// left: the call itself needs the rest.
    async fn node_with_id(&self, id: NodeId, end: Option<Instant>) -> Option<usize> {
        let find = || self.nodes.iter().position(|node| node.id.load(Ordering::Relaxed) == id);
        if let Some(found) = find() {
            return Some(found);
        }
        let now = Instant::now();
        let left = end.map_or(TRY_TIME, |end| end.saturating_duration_since(now) / 2);
        let until = now + left.min(TRY_TIME);
        let mut asked = tokio::task::JoinSet::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let stub = node.rsm.clone();
            asked.spawn(async move {
                let status = tokio::time::timeout_at(until, stub.status()).await;
                (place, status.ok().and_then(Result::ok).map(|status| status.id))
            });
        }
        while let Some(answer) = asked.join_next().await {
            if let Ok((place, Some(node_id))) = answer {
                self.nodes[place].id.store(node_id, Ordering::Relaxed);
                if node_id == id {
                    return Some(place);
                }
            }
        }
        find()
    }

    /// The session of this client, which the first put begins.
    pub(super) async fn session(
        &self,
        place: usize,
        stub: &RsmStub,
        tries: &mut Tries,
        end: Option<Instant>,
    ) -> Result<Arc<Session>, ReplyErr> {
        let mut current = within(end, async { Ok::<_, ReplyErr>(self.sessions.current().await) })
            .await
            .map_err(not_sent)?;
        if let Some(session) = &*current {
            return Ok(session.clone());
        }
        // A session that is begun twice is one that nobody uses.
        let reply = self.ask(place, tries, end, stub.open_session()).await.map_err(not_sent)?;
        let session = Session::new(reply.session);
        *current = Some(session.clone());
        Ok(session)
    }
}

/// What the failure to begin a session says of the put that needed it.
fn not_sent(error: ReplyErr) -> ReplyErr {
    match error {
        ReplyErr::WrongLeader { leader, .. } => ReplyErr::WrongLeader { leader, submitted: false },
        ReplyErr::NoAnswer { message, .. } => ReplyErr::NoAnswer { message, submitted: false },
        other => other,
    }
}

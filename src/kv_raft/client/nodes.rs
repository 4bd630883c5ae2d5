//! The nodes that a client knows: which one to ask, how, and what to do when it was the wrong one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use traitwire::RpcError;

use super::known::{Known, Node};
use super::session::{Session, Sessions};
use crate::call::{Pause, within};
use crate::services::kv::KvStub;
use crate::services::raft::NodeId;
use crate::services::rsm::{ReplyErr, Rsm as _, RsmStub};

/// How long one node may take to answer before another one is asked.
const TRY_TIME: Duration = Duration::from_secs(1);

/// How long a node passes calls on whose leader the client cannot reach, before it is asked again who leads.
const PASS_ON_TIME: Duration = Duration::from_secs(10);

/// How often a node is asked that loses calls before another one is.
const TRIES_PER_NODE: usize = 3;

/// The nodes, and what is known of them.
pub(super) struct Shared {
    known: Arc<Known>,
    pub(super) sessions: Sessions,
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
    pub(super) fn new(known: Known) -> Self {
        Self { known: Arc::new(known), sessions: Sessions::default() }
    }

    /// How many nodes are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The node to ask, and how.
    pub(super) fn current(&self) -> (Arc<Node>, Way) {
        let node = self.known.current();
        let way = match self.known.passes_on(&node) {
            true => Way::Kv(node.kv.clone()),
            false => Way::Rsm(node.rsm.clone()),
        };
        (node, way)
    }

    /// Awaits the answer of `node`; where it was not the right one to ask, the next call asks another.
    pub(super) async fn ask<T>(
        &self,
        node: &Arc<Node>,
        tries: &mut Tries,
        end: Option<Instant>,
        call: impl Future<Output = Result<T, ReplyErr>>,
    ) -> Result<T, ReplyErr> {
        let began = Instant::now();
        let soon = began + TRY_TIME + tries.more_time;
        let until = end.map_or(soon, |end| end.min(soon));
        let result = within(Some(until), call).await;
        match &result {
            Err(ReplyErr::NoAnswer { submitted: true, .. }) if Instant::now() < until => {
                self.known.note_break(node);
            }
            Err(ReplyErr::NoAnswer { .. }) => self.known.note_silence(node),
            Ok(_) | Err(_) => {
                self.known.note_answer(node);
                self.known.keep_learning(node, began);
            }
        }
        match &result {
            Err(ReplyErr::WrongLeader { leader, .. }) => {
                tries.unanswered = 0;
                self.follow_hint(tries, node, *leader, end).await;
            }
            Err(ReplyErr::Unimplemented(_)) => self.pass_on(tries, node),
            Err(ReplyErr::NoAnswer { .. }) => {
                // Half of what a bad network loses is lost on the way to the right node, which shows at once where a
                // connection ends. A node that has let all its time pass may hang.
                tries.unanswered += 1;
                if tries.unanswered >= TRIES_PER_NODE || Instant::now() >= soon {
                    tries.unanswered = 0;
                    self.known.move_on(node);
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

    async fn follow_hint(
        &self,
        tries: &mut Tries,
        node: &Arc<Node>,
        leader: Option<NodeId>,
        end: Option<Instant>,
    ) {
        let Some(leader) = leader else { return self.known.move_on(node) };
        // The call itself needs the rest of the time.
        let now = Instant::now();
        let left = end.map_or(TRY_TIME, |end| end.saturating_duration_since(now) / 2);
        match self.known.find(leader, node, now + left.min(TRY_TIME)).await {
            Some(found) if !Arc::ptr_eq(&found, node) => {
                self.known.prefer(&found);
                tries.go_on_at_once(self.known.len());
            }
            Some(_) => self.known.move_on(node),
            None => self.pass_on(tries, node),
        }
    }

    /// Lets the node pass calls on for a while: the client cannot reach the leader, or there is none to be known.
    fn pass_on(&self, tries: &mut Tries, node: &Node) {
        self.known.let_pass_on(node, PASS_ON_TIME);
        tries.go_on_at_once(self.known.len());
    }

    /// The session of this client, which the first put begins.
    pub(super) async fn session(
        &self,
        node: &Arc<Node>,
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
        let reply = self.ask(node, tries, end, stub.open_session()).await.map_err(not_sent)?;
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

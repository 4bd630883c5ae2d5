//! The client of a cluster: it finds the leader, and sends again until there is an answer.

mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::value::to_raw_value;
use tokio::time::Instant;
use traitwire::{CoalesceLimits, Executed, KVError, KvClient, Retry, RpcClient, RpcError, Version};

use self::session::{Session, Sessions};
use super::machine::{KvCommand, KvQuestion};
use super::server::{no_json, put_reply};
use crate::bugs::{ServiceBug, has};
use crate::call::{CallError, Pause, definite, within};
use crate::retry::{Attempt, Put};
use crate::services::kv::{GetArgs, GetReply};
use crate::services::raft::NodeId;
use crate::services::rsm::{QueryArgs, ReplyErr, Rsm as _, RsmStub, SubmitArgs};

/// How long one node may take to answer before another one is asked.
const TRY_TIME: Duration = Duration::from_secs(1);

/// How often a node is asked that loses calls before another one is.
const TRIES_PER_NODE: usize = 3;

/// How many calls are worth an exchange: the nodes sync together what comes together, so that fewer in each would cost time and
/// not save it.
const SHARE: usize = 32;

/// A client of a cluster, or of a single durable server, which is a cluster of one.
///
/// Its puts have a ticket of a session, so that a resend is told from the first try: `Maybe` is said only where the session
/// has ended before the answer came. As for [`SingleKvClient`](crate::kv_single::client::SingleKvClient), the methods of
/// [`KvClient`] go on until there is an answer, and `try_get` and `try_put` end at a deadline.
#[derive(Clone)]
pub struct ClusterKvClient {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Vec<Node>,
    /// The node that is asked first: the leader, as far as is known.
    current: AtomicUsize,
    sessions: Sessions,
}

struct Node {
    stub: RsmStub,
    /// Its id, once it has said so; 0 before.
    id: std::sync::atomic::AtomicU64,
}

impl ClusterKvClient {
    /// A client of the nodes at these URLs.
    pub fn new(urls: impl IntoIterator<Item = String>, client_id: usize) -> Self {
        let mut together = CoalesceLimits::default();
        together.share = SHARE;
        Self::over(urls.into_iter().map(|url| {
            // Which node to ask again is decided here.
            let client = RpcClient::builder(url).client_id(client_id).retry(Retry::never());
            client.coalesce(together.clone()).build()
        }))
    }

    /// A client that calls the nodes through these clients.
    ///
    /// # Panics
    /// When there is none.
    pub fn over(clients: impl IntoIterator<Item = RpcClient>) -> Self {
        let node = |client| Node { stub: RsmStub::new(client), id: 0.into() };
        let nodes: Vec<_> = clients.into_iter().map(node).collect();
        assert!(!nodes.is_empty(), "a client needs a node to ask");
        let current = AtomicUsize::new(fastrand::usize(..nodes.len()));
        Self { shared: Arc::new(Shared { nodes, current, sessions: Sessions::default() }) }
    }

    /// The value of `key` and its version; ends when `time` is over, and never where that is too far off to be told.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn try_get(&self, key: &str, time: Duration) -> Result<(String, Version), CallError> {
        self.get_until(key, Instant::now().checked_add(time)).await
    }

    /// Writes `value` if `key` is at `version`; ends as [`ClusterKvClient::try_get`] does.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn try_put(
        &self,
        key: &str,
        value: &str,
        version: Version,
        time: Duration,
    ) -> Result<(), CallError> {
        self.put_until(key, value, version, Instant::now().checked_add(time)).await
    }

    async fn get_until(&self, key: &str, end: Option<Instant>) -> Result<(String, Version), CallError> {
        let question = to_raw_value(&KvQuestion::Get(GetArgs { key: key.to_owned() })).map_err(encoding)?;
        let mut tries = Tries::default();
        loop {
            let ask = |stub: RsmStub| {
                let question = question.clone();
                async move { stub.query(QueryArgs { question }).await }
            };
            let reply = self.shared.ask(&mut tries, end, ask).await;
            match reply.and_then(|it| serde_json::from_str::<GetReply>(it.answer.get()).map_err(no_json)) {
                Ok(GetReply { value, version, err: None }) => return Ok((value, version)),
                Ok(GetReply { err: Some(error), .. }) => return Err(error.into()),
                Err(error) => tries.pause(error, end).await?,
            }
        }
    }

    async fn put_until(
        &self,
        key: &str,
        value: &str,
        version: Version,
        end: Option<Instant>,
    ) -> Result<(), CallError> {
        let command = KvCommand::put(key, value, version).map_err(encoding)?;
        let mut tries = Tries::default();
        let mut put = Put::default();
        loop {
            let session = self.shared.session(&mut tries, end).await;
            let session = session.map_err(|error| put.unanswered(error))?;
            let ticket = session.ticket();
            // Whether a copy with this ticket may have taken effect.
            let mut maybe = false;
            loop {
                let again = has(ServiceBug::TicketPerTry).then(|| session.ticket());
                let ask = |stub: RsmStub| {
                    let ticket = again.as_deref().unwrap_or(&ticket);
                    let args = SubmitArgs { ticket: Some(*ticket), command: command.clone() };
                    async move { stub.submit(args).await }
                };
                let reply = self.shared.ask(&mut tries, end, ask).await;
                let error = match reply.and_then(|it| put_reply(&it.reply)) {
                    // The reply is that of the one time that the command was run, whichever copy it was. Only what earlier
                    // sessions may have done makes it less than definite.
                    Ok(reply) => {
                        let result = put.after(Attempt::Answered(reply.err.map_or(Ok(()), Err)));
                        return result.expect("an answer decides").map_err(CallError::from);
                    }
                    Err(error) => error,
                };
                maybe |= error.may_be_submitted();
                let executed = if maybe { Executed::Unknown } else { Executed::No };
                if error == ReplyErr::NoSession {
                    self.shared.sessions.end(&session).await;
                    put.after(Attempt::Failed(executed));
                    break;
                }
                if let Err(error) = tries.pause(error, end).await {
                    put.after(Attempt::Failed(executed));
                    return Err(put.unanswered(error).into());
                }
            }
        }
    }
}

/// How a call has gone so far.
#[derive(Default)]
struct Tries {
    pause: Pause,
    /// How often the current node has not answered.
    unanswered: usize,
    /// How many nodes have refused, one after the other.
    refused: usize,
    /// Whether the next try can go on at once, to a node that is said to lead.
    knows_better: bool,
}

impl Tries {
    async fn pause(&mut self, error: ReplyErr, end: Option<Instant>) -> Result<(), RpcError> {
        if std::mem::take(&mut self.knows_better) && end.is_none_or(|end| Instant::now() < end) {
            return Ok(());
        }
        self.pause.before_another(error.into(), end).await
    }
}

impl Shared {
    /// Asks the node that leads as far as is known; where that was wrong, the next call asks another.
    async fn ask<T, F: Future<Output = Result<T, ReplyErr>>>(
        &self,
        tries: &mut Tries,
        end: Option<Instant>,
        call: impl FnOnce(RsmStub) -> F,
    ) -> Result<T, ReplyErr> {
        let current = self.current.load(Ordering::Relaxed);
        let soon = Instant::now() + TRY_TIME;
        let until = end.map_or(soon, |end| end.min(soon));
        let result = within(Some(until), call(self.nodes[current].stub.clone())).await;
        match &result {
            Err(ReplyErr::WrongLeader { leader, .. }) => {
                tries.unanswered = 0;
                self.follow_hint(tries, current, *leader).await;
            }
            Err(ReplyErr::NoAnswer { .. }) => {
                // Half of what a bad network loses is lost on the way to the right node, which shows at once where a
                // connection ends. A node that has let all its time pass may hang.
                tries.unanswered += 1;
                if tries.unanswered >= TRIES_PER_NODE || Instant::now() >= soon {
                    tries.unanswered = 0;
                    self.move_on(current);
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

    async fn follow_hint(&self, tries: &mut Tries, current: usize, leader: Option<NodeId>) {
        let hinted = match leader {
            Some(leader) => self.node_with_id(leader).await,
            None => None,
        };
        match hinted {
            Some(node) if node != current => {
                self.current.store(node, Ordering::Relaxed);
                // Two nodes that point at each other must not be believed for ever.
                tries.refused += 1;
                tries.knows_better = tries.refused <= self.nodes.len();
            }
            Some(_) | None => self.move_on(current),
        }
    }

    /// Which node has this id. Nodes are asked for theirs when it is first needed.
    async fn node_with_id(&self, id: NodeId) -> Option<usize> {
        let find = || self.nodes.iter().position(|node| node.id.load(Ordering::Relaxed) == id);
        if let Some(found) = find() {
            return Some(found);
        }
        let mut asked = tokio::task::JoinSet::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let stub = node.stub.clone();
            asked.spawn(async move {
                let status = tokio::time::timeout(TRY_TIME, stub.status()).await;
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
    async fn session(&self, tries: &mut Tries, end: Option<Instant>) -> Result<Arc<Session>, RpcError> {
        let mut current = within(end, async { Ok::<_, RpcError>(self.sessions.current().await) }).await?;
        if let Some(session) = &*current {
            return Ok(session.clone());
        }
        loop {
            let open = |stub: RsmStub| async move { stub.open_session().await };
            match self.ask(tries, end, open).await {
                Ok(reply) => {
                    let session = Session::new(reply.session);
                    *current = Some(session.clone());
                    return Ok(session);
                }
                Err(error) => tries.pause(error, end).await?,
            }
        }
    }
}

fn encoding(error: serde_json::Error) -> RpcError {
    RpcError::internal(error.to_string()).not_executed()
}

#[traitwire::async_trait]
impl KvClient for ClusterKvClient {
    async fn get(&self, key: &str) -> Result<(String, Version), KVError> {
        self.get_until(key, None).await.map_err(definite)
    }

    async fn put(&self, key: &str, value: &str, version: Version) -> Result<(), KVError> {
        self.put_until(key, value, version, None).await.map_err(definite)
    }
}

//! The client of a cluster: it finds the leader, and sends again until there is an answer.

mod session;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use traitwire::{CoalesceLimits, Executed, KVError, KvClient, Retry, RpcClient, RpcError, Version};

use self::session::{OpenTicket, Session, Sessions};
use super::machine::{KvCommand, KvQuestion};
use super::server::{no_json, put_reply};
use crate::bugs::{ServiceBug, has};
use crate::call::{CallError, Pause, answered, definite, within};
use crate::retry::{Attempt, Put};
use crate::services::kv::{GetArgs, GetReply, Kv as _, KvStub, PutArgs, PutReply};
use crate::services::raft::NodeId;
use crate::services::rsm::{QueryArgs, ReplyErr, Rsm as _, RsmStub, SubmitArgs};

/// How long one node may take to answer before another one is asked.
const TRY_TIME: Duration = Duration::from_secs(1);

/// How long a node passes calls on whose leader is not among the nodes of the client, before it is asked again who leads.
const PASS_ON_TIME: Duration = Duration::from_secs(10);

/// How often a node is asked that loses calls before another one is.
const TRIES_PER_NODE: usize = 3;

/// How many calls are worth an exchange: the nodes sync together what comes together, so that fewer in each would cost time and
/// not save it.
const SHARE: usize = 32;

/// A client of a cluster, or of a single server. It needs to know one node of the cluster; the more it knows, the fewer
/// calls go by way of a node that does not lead.
///
/// Its puts have a ticket of a session, so that a resend is told from the first try: `Maybe` is said only where the session
/// has ended before the answer came, or where the leader is none of the client's nodes, so that another node passes the put
/// on. As for [`SingleKvClient`](crate::kv_single::client::SingleKvClient), the methods of [`KvClient`] go on until there is
/// an answer, and `try_get` and `try_put` end at a deadline.
#[derive(Clone)]
pub struct ClusterKvClient {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Vec<Node>,
    /// The node that is asked first: the leader, as far as is known.
    current: AtomicUsize,
    sessions: Sessions,
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
enum Way {
    /// As the node that leads, with tickets.
    Rsm(RsmStub),
    /// By its key-value service: as a node that passes calls on to a leader that this client does not know, or as a server
    /// that is no part of a cluster.
    Kv(KvStub),
}

/// A put with a ticket, which has perhaps been sent.
struct Ticketed {
    session: Arc<Session>,
    ticket: OpenTicket,
    /// Whether a copy with this ticket may have taken effect.
    maybe: bool,
}

impl Ticketed {
    fn executed(&self) -> Executed {
        if self.maybe { Executed::Unknown } else { Executed::No }
    }
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
        let node = |client: RpcClient| Node {
            rsm: RsmStub::new(client.clone()),
            kv: KvStub::new(client),
            id: AtomicU64::new(0),
            passes_on_until_ms: AtomicU64::new(0),
        };
        let nodes: Vec<_> = clients.into_iter().map(node).collect();
        assert!(!nodes.is_empty(), "a client needs a node to ask");
        let current = AtomicUsize::new(fastrand::usize(..nodes.len()));
        let shared = Shared { nodes, current, sessions: Sessions::default(), created: Instant::now() };
        Self { shared: Arc::new(shared) }
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
            let (place, way) = self.shared.current();
            let asked = async {
                match way {
                    Way::Rsm(stub) => {
                        let answer = stub.query(QueryArgs { question: question.clone() }).await?.answer;
                        serde_json::from_str::<GetReply>(answer.get()).map_err(no_json)
                    }
                    Way::Kv(stub) => Ok(stub.get(GetArgs { key: key.to_owned() }).await?),
                }
            };
            match self.shared.ask(place, &mut tries, end, asked).await {
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
        let mut ticketed: Option<Ticketed> = None;
        loop {
            let (place, way) = self.shared.current();
            let replied = match way {
                Way::Kv(stub) => {
                    // Copies with a ticket are earlier attempts than this one, which has none.
                    if let Some(earlier) = ticketed.take() {
                        put.after(Attempt::Failed(earlier.executed()));
                    }
                    let args = PutArgs { key: key.to_owned(), value: value.to_owned(), version };
                    let asked = async { Ok(stub.put(args).await?) };
                    let replied = self.shared.ask(place, &mut tries, end, asked).await;
                    if let Err(error) = &replied {
                        let maybe = error.may_be_submitted();
                        put.after(Attempt::Failed(if maybe { Executed::Unknown } else { Executed::No }));
                    }
                    replied
                }
                Way::Rsm(stub) => {
                    self.put_ticketed(place, stub, &command, &mut ticketed, &mut tries, end).await
                }
            };
            let error = match replied {
                // The reply is that of the one time that the command was run, whichever copy it was. Only what earlier
                // attempts may have done makes it less than definite.
                Ok(reply) => {
                    let result = put.after(Attempt::Answered(reply.err.map_or(Ok(()), Err)));
                    return answered(result.expect("an answer decides"), reply.version);
                }
                Err(error) => error,
            };
            if error == ReplyErr::NoSession
                && let Some(ended) = ticketed.take()
            {
                put.after(Attempt::Failed(ended.executed()));
                // Another call may hold the session for longer than this one has time.
                let forgotten = async {
                    self.shared.sessions.end(&ended.session).await;
                    Ok::<_, RpcError>(())
                };
                within(end, forgotten).await.map_err(|error| put.unanswered(error))?;
                // A new session is likely to do, but not if the servers forget each one.
                tries.go_on_at_once(self.shared.nodes.len());
            }
            if let Err(error) = tries.pause(error, end).await {
                if let Some(last) = ticketed {
                    put.after(Attempt::Failed(last.executed()));
                }
                return Err(put.unanswered(error).into());
            }
        }
    }

    /// One try of a put with a ticket, in a session that is begun if there is none.
    async fn put_ticketed(
        &self,
        place: usize,
        stub: RsmStub,
        command: &RawValue,
        ticketed: &mut Option<Ticketed>,
        tries: &mut Tries,
        end: Option<Instant>,
    ) -> Result<PutReply, ReplyErr> {
        let put = match ticketed {
            Some(put) => put,
            None => {
                let session = self.shared.session(place, &stub, tries, end).await?;
                let ticket = session.ticket();
                ticketed.insert(Ticketed { session, ticket, maybe: false })
            }
        };
        let again = has(ServiceBug::TicketPerTry).then(|| put.session.ticket());
        let ticket = Some(**again.as_ref().unwrap_or(&put.ticket));
        let asked = async {
            let reply = stub.submit(SubmitArgs { ticket, command: command.to_owned() }).await?;
            put_reply(&reply.reply)
        };
        let replied = self.shared.ask(place, tries, end, asked).await;
        if let Err(error) = &replied {
            put.maybe |= error.may_be_submitted();
        }
        replied
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
    /// Another node is known to be the right one. Nodes that point at each other are not believed without end.
    fn go_on_at_once(&mut self, nodes: usize) {
        self.refused += 1;
        self.knows_better = self.refused <= nodes;
    }

    async fn pause(&mut self, error: ReplyErr, end: Option<Instant>) -> Result<(), RpcError> {
        if std::mem::take(&mut self.knows_better) && end.is_none_or(|end| Instant::now() < end) {
            return Ok(());
        }
        self.pause.before_another(error.into(), end).await
    }
}

impl Shared {
    /// The node to ask, and how.
    fn current(&self) -> (usize, Way) {
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
    async fn ask<T>(
        &self,
        place: usize,
        tries: &mut Tries,
        end: Option<Instant>,
        call: impl Future<Output = Result<T, ReplyErr>>,
    ) -> Result<T, ReplyErr> {
        let soon = Instant::now() + TRY_TIME;
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
    async fn session(
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

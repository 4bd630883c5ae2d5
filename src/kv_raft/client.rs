//! The client of a cluster: it finds the leader, and sends again until there is an answer.

mod known;
mod nodes;
mod session;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use traitwire::{CoalesceLimits, Executed, KVError, KvClient, Retry, RpcClient, RpcError, Version};

use self::known::{Known, Node};
use self::nodes::{Shared, Tries, Way};
use self::session::{OpenTicket, Session};
use super::machine::{KvCommand, KvQuestion};
use super::rsm::time_for;
use super::server::{no_json, put_reply};
use crate::bugs::{ServiceBug, has};
use crate::call::{CallError, answered, definite, within};
use crate::retry::{Attempt, Put};
use crate::services::kv::{GetArgs, GetReply, Kv as _, PutArgs, PutReply};
use crate::services::rsm::{QueryArgs, ReplyErr, Rsm as _, RsmStub, SubmitArgs};

/// How many calls are worth an exchange: the nodes sync together what comes together, so that fewer in each would cost time and
/// not save it.
const SHARE: usize = 32;

/// A client of a cluster, or of a single server. It needs to know one node of the cluster, and learns of the others.
///
/// A put has a ticket of a session, so that a resent put takes effect once. A put fails with `Maybe` only if the session ended
/// before the answer came, or if another node passed it on because the client cannot reach the leader.
///
/// The methods of [`KvClient`] go on until there is an answer; `try_get` and `try_put` end at a deadline:
///
/// ```
/// use std::time::Duration;
///
/// use traitwire_kv::kv_raft::client::ClusterKvClient;
/// # use traitwire_kv::{kv_single::server::SingleKvServer, services::kv::KvServer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let url = format!("http://{}", listener.local_addr()?);
/// # let server = KvServer::new(SingleKvServer::new());
/// # tokio::spawn(traitwire::serve(listener, server, std::future::pending()));
/// let kv = ClusterKvClient::new([url], 1);
/// let time = Duration::from_secs(5);
/// kv.try_put("colour", "blue", 0, time).await?;
/// assert_eq!(kv.try_get("colour", time).await?, ("blue".to_owned(), 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterKvClient {
    shared: Arc<Shared>,
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
    /// A client of the nodes at these URLs. It learns from them which nodes belong to the cluster, and follows changes.
    ///
    /// # Panics
    /// When there is no URL.
    pub fn new(urls: impl IntoIterator<Item = String>, client_id: usize) -> Self {
        let mut together = CoalesceLimits::default();
        together.share = SHARE;
        Self::connecting(urls, move |url| {
            // Which node to ask again is decided here.
            let client = RpcClient::builder(url.to_owned()).client_id(client_id).retry(Retry::never());
            client.coalesce(together.clone()).build()
        })
    }

    /// The same with clients of the caller's making for the nodes at these URLs, and those that it learns of.
    ///
    /// # Panics
    /// When there is no URL.
    pub fn connecting(
        urls: impl IntoIterator<Item = String>,
        connect: impl Fn(&str) -> RpcClient + Send + Sync + 'static,
    ) -> Self {
        Self { shared: Arc::new(Shared::new(Known::at(urls, Box::new(connect)))) }
    }

    /// A client that calls the nodes through these clients, and no others.
    ///
    /// # Panics
    /// When there is none.
    pub fn over(clients: impl IntoIterator<Item = RpcClient>) -> Self {
        Self { shared: Arc::new(Shared::new(Known::over(clients))) }
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
            let (node, way) = self.shared.current();
            let asked = async {
                match way {
                    Way::Rsm(stub) => {
                        let answer = stub.query(QueryArgs { question: question.clone() }).await?.answer;
                        serde_json::from_str::<GetReply>(answer.get()).map_err(no_json)
                    }
                    Way::Kv(stub) => Ok(stub.get(GetArgs { key: key.to_owned() }).await?),
                }
            };
            match self.shared.ask(&node, &mut tries, end, asked).await {
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
        let mut tries = Tries::with_more_time(time_for(command.get().len()));
        let mut put = Put::default();
        let mut ticketed: Option<Ticketed> = None;
        loop {
            let (node, way) = self.shared.current();
            let replied = match way {
                Way::Kv(stub) => {
                    // Copies with a ticket are earlier attempts than this one, which has none.
                    if let Some(earlier) = ticketed.take() {
                        put.after(Attempt::Failed(earlier.executed()));
                    }
                    let args = PutArgs { key: key.to_owned(), value: value.to_owned(), version };
                    let asked = async { Ok(stub.put(args).await?) };
                    let replied = self.shared.ask(&node, &mut tries, end, asked).await;
                    if let Err(error) = &replied {
                        let maybe = error.may_be_submitted();
                        put.after(Attempt::Failed(if maybe { Executed::Unknown } else { Executed::No }));
                    }
                    replied
                }
                Way::Rsm(stub) => {
                    self.put_ticketed(&node, stub, &command, &mut ticketed, &mut tries, end).await
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
                tries.go_on_at_once(self.shared.len());
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
        node: &Arc<Node>,
        stub: RsmStub,
        command: &RawValue,
        ticketed: &mut Option<Ticketed>,
        tries: &mut Tries,
        end: Option<Instant>,
    ) -> Result<PutReply, ReplyErr> {
        let put = match ticketed {
            Some(put) => put,
            None => {
                let session = self.shared.session(node, &stub, tries, end).await?;
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
        let replied = self.shared.ask(node, tries, end, asked).await;
        if let Err(error) = &replied {
            put.maybe |= error.may_be_submitted();
        }
        replied
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

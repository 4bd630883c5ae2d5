//! Asks other nodes which ones they are, before this node knows who belongs to its cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use traitwire::http::HeaderValue;
use traitwire::{Code, PEER, Retry, RpcClient};

use super::founding::Answer;
use crate::kv_raft::raft::reason;
use crate::services::member::{Members as _, MembersStub};
use crate::services::raft::{IdentifyReply, Incarnation, NodeId, Raft as _, RaftStub, RunId};

/// How long a node may take to say which one it is: longer each time while nothing changes, since a lost answer should not cost much,
/// and a link may be slow.
const IDENTIFY_TIME_MIN: Duration = Duration::from_millis(200);
const IDENTIFY_TIME_MAX: Duration = Duration::from_secs(2);

/// For how long an answer counts if a later question is lost. A node that has joined another cluster meanwhile refuses to be founded.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The ways to nodes by their URLs, and what they have answered.
pub(super) struct Asker {
    id: NodeId,
    stubs: BTreeMap<String, (RaftStub, MembersStub)>,
    /// What the other nodes have answered last, and when.
    heard: BTreeMap<NodeId, (Instant, IdentifyReply)>,
}

impl Asker {
    pub(super) fn new(id: NodeId) -> Self {
        Self { id, stubs: BTreeMap::new(), heard: BTreeMap::new() }
    }

    /// Asks the other nodes of a list which ones they are, all at the same time.
    pub(super) async fn ask(
        &mut self,
        urls: &BTreeMap<NodeId, String>,
        time: Duration,
    ) -> BTreeMap<NodeId, Answer> {
        let mut asked = JoinSet::new();
        let own_id = self.id;
        let time = time.clamp(IDENTIFY_TIME_MIN, IDENTIFY_TIME_MAX);
        for (id, url) in urls.iter().filter(|(id, _)| **id != own_id) {
            let (id, stub) = (*id, self.raft(url));
            asked.spawn(async move {
                let answer = match timeout(time, stub.identify()).await {
                    Ok(Ok(reply)) => Answer::Identified(reply),
                    Ok(Err(error)) if error.code() == Code::Unimplemented => Answer::Earlier,
                    Ok(Err(error)) => Answer::Unreachable(reason(error.message()).to_owned()),
                    Err(_) => Answer::Unreachable("no answer in time".to_owned()),
                };
                (id, answer)
            });
        }
        let mut answers: BTreeMap<_, _> = asked.join_all().await.into_iter().collect();
        let now = Instant::now();
        for (id, answer) in &mut answers {
            match answer {
                Answer::Identified(reply) => {
                    self.heard.insert(*id, (now, reply.clone()));
                }
                Answer::Unreachable(_) => {
                    let recent = self.heard.get(id).filter(|(at, _)| now.duration_since(*at) < ANSWER_TIME);
                    if let Some((_, reply)) = recent {
                        *answer = Answer::Identified(reply.clone());
                    }
                }
                Answer::Earlier => {}
            }
        }
        answers
    }

    /// Whether another run than this one answers at a URL with the same incarnation: it uses a copy of the data folder.
    pub(super) async fn is_copy(&mut self, url: &str, own: (Incarnation, RunId)) -> bool {
        match timeout(IDENTIFY_TIME_MAX, self.raft(url).identify()).await {
            Ok(Ok(reply)) => {
                reply.incarnation == Some(own.0) && reply.run.is_some_and(|theirs| theirs != own.1)
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Where the members at these URLs say that a node is, other than at `known`.
    pub(super) async fn elsewhere(&mut self, node: NodeId, known: &str, urls: Vec<String>) -> Vec<String> {
        let mut found = Vec::new();
        for url in urls {
            let Ok(Ok(list)) = timeout(IDENTIFY_TIME_MAX, self.members(&url).list()).await else { continue };
            let urls = list.members.into_iter().filter(|it| it.id == node).filter_map(|it| it.url);
            found.extend(urls.filter(|url| url != known));
        }
        found.sort();
        found.dedup();
        found
    }

    fn stubs(&mut self, url: &str) -> &(RaftStub, MembersStub) {
        let client_id = usize::try_from(self.id).unwrap_or(usize::MAX);
        let client = || RpcClient::builder(url.to_owned()).client_id(client_id).retry(Retry::never());
        self.stubs.entry(url.to_owned()).or_insert_with(|| {
            let peer = client().header(PEER.clone(), HeaderValue::from_static("1")).build();
            (RaftStub::new(peer), MembersStub::new(client().build()))
        })
    }

    fn raft(&mut self, url: &str) -> RaftStub {
        self.stubs(url).0.clone()
    }

    /// The `member` methods of the node at a URL.
    pub(super) fn members(&mut self, url: &str) -> MembersStub {
        self.stubs(url).1.clone()
    }
}

//! The `raft` methods of a node: who may speak to it, and the way to its core.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use traitwire::http::HeaderValue;
use traitwire::{CallContext, Code, RpcError, RpcResult};

use super::core::{Reply, Request};
use super::driver::Inbox;
use super::transport::{OWN_SCHEMA, PROTOCOL, SCHEMA, TERMS};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, Index, InstallSnapshotArgs, InstallSnapshotReply, NodeId, Raft,
    Sender, TimeoutNowArgs, TimeoutNowReply, VoteArgs, VoteReply,
};

/// The indices of entries that a log may have: one a nanosecond for ages.
const INDICES: RangeInclusive<Index> = 1..=u64::MAX >> 1;

/// How many refused senders are remembered, so that each is logged once.
const REFUSED_MAX: usize = 1_024;

/// Answers the messages of the other nodes; mount it as `RaftServer::from_arc(service)`.
pub struct RaftService {
    cluster: String,
    id: NodeId,
    others: BTreeSet<NodeId>,
    inbox: Inbox,
    refused: Mutex<BTreeSet<(NodeId, &'static str)>>,
    strangers: Strangers,
}

/// The peers whose services are not those of this program, each with its fingerprint.
#[derive(Default)]
struct Strangers(Mutex<BTreeMap<NodeId, HeaderValue>>);

impl Strangers {
    /// Takes in what a peer says of its services. How many strangers there are now, if that is news.
    fn hear(&self, from: NodeId, theirs: &HeaderValue) -> Option<usize> {
        let mut strangers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = if *theirs == *OWN_SCHEMA {
            strangers.remove(&from).is_some()
        } else {
            strangers.insert(from, theirs.clone()).as_ref() != Some(theirs)
        };
        is_news.then_some(strangers.len())
    }
}

impl RaftService {
    pub(super) fn new(cluster: String, id: NodeId, others: BTreeSet<NodeId>, inbox: Inbox) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            id,
            others,
            inbox,
            refused: Mutex::default(),
            strangers: Strangers::default(),
        })
    }

    /// Why a sender is not spoken to, if it is not.
    fn refuse(&self, sender: &Sender) -> RpcResult<()> {
        let Sender { cluster, protocol, from, to } = sender;
        let (kind, message) = if *cluster != self.cluster {
            ("cluster", format!("this node belongs to the cluster `{}`, not to `{cluster}`", self.cluster))
        } else if *protocol != PROTOCOL {
            ("protocol", format!("this node speaks version {PROTOCOL} of the protocol, not {protocol}"))
        } else if *to != self.id {
            ("receiver", format!("this is node {}, not node {to}: check the URLs of the peers", self.id))
        } else if !self.others.contains(from) {
            ("sender", format!("node {from} does not belong to the cluster of node {}", self.id))
        } else {
            return Ok(());
        };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX && refused.insert((*from, kind)) {
            tracing::warn!(from, "refused a message: {message}");
        }
        Err(RpcError::new(Code::FailedPrecondition, message).not_executed())
    }

    /// Notes whether a peer's services are those of this program. A program from before this header says nothing.
    fn compare_schemas(&self, from: NodeId) {
        let context = CallContext::current();
        let theirs = context.as_ref().and_then(|context| context.headers.get(&SCHEMA));
        if let Some(theirs) = theirs
            && let Some(peers) = self.strangers.hear(from, theirs)
        {
            let own = &*OWN_SCHEMA;
            tracing::warn!(
                from,
                ?theirs,
                ?own,
                "{peers} of the peers have another schema: see `schema probe`"
            );
        }
    }

    async fn ask(&self, sender: &Sender, request: Request) -> RpcResult<Reply> {
        self.refuse(sender)?;
        self.compare_schemas(sender.from);
        contradiction(&request).map_or(Ok(()), |what| Err(RpcError::invalid_argument(what)))?;
        self.inbox.ask(sender.from, request).await
    }
}

/// What no node can mean, if a message says that. The core takes messages at their word, and its invariants with them.
fn contradiction(request: &Request) -> Option<&'static str> {
    let term = match request {
        Request::PreVote(args) | Request::Vote(args) => args.term,
        Request::Append(args) => args.term,
        Request::Snapshot(args) => args.term,
        Request::TimeoutNow(args) => args.term,
    };
    if !TERMS.contains(&term) {
        return Some("`term` is none that a cluster can reach");
    }
    match request {
        Request::PreVote(_) | Request::Vote(_) | Request::TimeoutNow(_) => None,
        Request::Append(args) => {
            let entries = args.entries.iter().map(|entry| entry.term);
            let terms = std::iter::once(args.prev_term).chain(entries).chain([args.term]);
            (!terms.is_sorted()).then_some("the terms of `entries` fall, or come after `term`")
        }
        Request::Snapshot(InstallSnapshotArgs { snapshot, .. }) => match () {
            () if snapshot.last_term > term => Some("the `last_term` of `snapshot` comes after `term`"),
            () if !INDICES.contains(&snapshot.last_index) => {
                Some("the `last_index` of `snapshot` is none that a log can reach")
            }
            () if snapshot.membership.voters.is_empty() => {
                Some("the `membership` of `snapshot` has no voters")
            }
            () => None,
        },
    }
}

fn unexpected(_: Reply) -> RpcError {
    RpcError::internal("the answer is of another kind than the question")
}

#[traitwire::async_trait]
impl Raft for RaftService {
    async fn pre_vote(&self, sender: Sender, args: VoteArgs) -> RpcResult<VoteReply> {
        match self.ask(&sender, Request::PreVote(args)).await? {
            Reply::PreVote(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }

    async fn request_vote(&self, sender: Sender, args: VoteArgs) -> RpcResult<VoteReply> {
        match self.ask(&sender, Request::Vote(args)).await? {
            Reply::Vote(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }

    async fn append_entries(&self, sender: Sender, args: AppendEntriesArgs) -> RpcResult<AppendEntriesReply> {
        match self.ask(&sender, Request::Append(args)).await? {
            Reply::Append(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }

    async fn install_snapshot(
        &self,
        sender: Sender,
        args: InstallSnapshotArgs,
    ) -> RpcResult<InstallSnapshotReply> {
        match self.ask(&sender, Request::Snapshot(args)).await? {
            Reply::Snapshot(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }

    async fn timeout_now(&self, sender: Sender, args: TimeoutNowArgs) -> RpcResult<TimeoutNowReply> {
        match self.ask(&sender, Request::TimeoutNow(args)).await? {
            Reply::TimeoutNow(reply) => Ok(reply),
            other => Err(unexpected(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use traitwire::http::HeaderValue;

    use super::{OWN_SCHEMA, Strangers};

    #[test]
    fn strangers_are_counted_and_told_of_once() {
        let (strangers, other) = (Strangers::default(), HeaderValue::from_static("other"));
        assert_eq!(strangers.hear(2, &OWN_SCHEMA), None);
        assert_eq!(strangers.hear(2, &other), Some(1));
        assert_eq!(strangers.hear(2, &other), None);
        assert_eq!(strangers.hear(3, &other), Some(2));
        assert_eq!(strangers.hear(2, &OWN_SCHEMA), Some(1), "node 2 has been upgraded");
        assert_eq!(strangers.hear(3, &HeaderValue::from_static("third")), Some(1));
    }
}

//! The `raft` methods of a node: who may speak to it, and the way to its core.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use traitwire::http::HeaderValue;
use traitwire::log::{Excerpt, LogThrottle};
use traitwire::{CallContext, RpcError, RpcResult};

use super::core::{DiskSpace, Reply, Request, TERM_JUMP_MAX};
use super::digests::Digests;
use super::driver::{Inbound, Inbox};
use super::sender_check::SenderCheck;
use super::storage::{Completed, SnapshotAccess, StorageError};
use super::transport::{OWN_SCHEMA, PROTOCOL, SCHEMA, TERMS};
use super::{COMMAND_BYTES_MAX, KnownMembership, OwnedCheck, Profile, Status};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, Entry, IdentifyReply, Index, InstallSnapshotArgs,
    InstallSnapshotReply, NodeId, Payload, Raft, Sender, SnapshotBytes, SnapshotProgress, TimeoutNowArgs,
    TimeoutNowReply, VoteArgs, VoteReply,
};

/// The indices of entries that a log may have: one a nanosecond for ages.
const INDICES: RangeInclusive<Index> = 1..=u64::MAX >> 1;

/// How far the last index of a snapshot may be ahead of a node's log: 89 years at 100,000 entries a second.
const INDEX_JUMP_MAX: Index = 1 << 48;

/// How often at most a line is logged that another node can cause.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Answers the messages of the other nodes; mount it as `RaftServer::from_arc(service)`.
pub struct RaftService {
    parts: ServiceParts,
    senders: SenderCheck,
    strangers: Strangers,
    schema_log: LogThrottle,
    snapshot_log: LogThrottle,
}

/// What the service of a node is made of.
pub(super) struct ServiceParts {
    pub(super) profile: Arc<Profile>,
    pub(super) id: NodeId,
    pub(super) membership: watch::Receiver<Arc<KnownMembership>>,
    pub(super) inbox: Inbox,
    pub(super) status: watch::Receiver<Status>,
    pub(super) snapshots: SnapshotAccess,
    pub(super) snapshot_check: Arc<OwnedCheck>,
    pub(super) digests: Arc<Digests>,
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
    pub(super) fn new(parts: ServiceParts) -> Arc<Self> {
        let ServiceParts { id, profile, membership, status, snapshots, .. } = &parts;
        let senders =
            SenderCheck::new(*id, profile.clone(), membership.clone(), status.clone(), snapshots.clone());
        Arc::new(Self {
            parts,
            senders,
            strangers: Strangers::default(),
            schema_log: LogThrottle::new(LOG_INTERVAL),
            snapshot_log: LogThrottle::new(LOG_INTERVAL),
        })
    }

    /// Notes whether a peer's services are those of this program. A program from before this header says nothing.
    fn compare_schemas(&self, from: NodeId) {
        let context = CallContext::current();
        let theirs = context.as_ref().and_then(|context| context.headers.get(&SCHEMA));
        if let Some(theirs) = theirs
            && let Some(peers) = self.strangers.hear(from, theirs)
            && let Some(suppressed) = self.schema_log.permit()
        {
            let own = &*OWN_SCHEMA;
            let theirs = String::from_utf8_lossy(theirs.as_bytes());
            tracing::warn!(
                from,
                theirs = %Excerpt(&theirs),
                ?own,
                suppressed,
                "{peers} of the peers have another schema: see `schema probe`"
            );
        }
    }

    async fn ask(&self, sender: &Sender, request: Request) -> RpcResult<Reply> {
        self.senders.admit(sender).await?;
        self.check(sender, &request)?;
        let reply = self.parts.inbox.ask(sender.from, request).await?;
        self.senders.note_promise(&reply).await?;
        Ok(reply)
    }

    /// Refuses what must not reach the core.
    fn check(&self, sender: &Sender, request: &Request) -> RpcResult<()> {
        self.compare_schemas(sender.from);
        self.contradiction(request).map_or(Ok(()), |what| Err(RpcError::invalid_argument(what)))
    }

    /// What is wrong with a message that no correct node sends. The core takes messages at their word, and its invariants
    /// with them.
    fn contradiction(&self, request: &Request) -> Option<String> {
        let term = match request {
            Request::PreVote(args) | Request::Vote(args) => args.term,
            Request::Append(args) => args.term,
            Request::Snapshot(args) => args.term,
            Request::TimeoutNow(args) => args.term,
        };
        if !TERMS.contains(&term) {
            return Some(format!("`term` {term} is out of range: terms are from 1 to {}", TERMS.end()));
        }
        let (own, last_index) = {
            let status = self.parts.status.borrow();
            (status.term, status.last_index)
        };
        if term > own.saturating_add(TERM_JUMP_MAX) {
            return Some(format!(
                "`term` {term} is more than {TERM_JUMP_MAX} ahead of this node's term, {own}: it is not believed"
            ));
        }
        match request {
            Request::PreVote(args) | Request::Vote(args) => (args.last_term >= args.term)
                .then(|| format!("`last_term` {} is not below `term` {term}", args.last_term)),
            Request::TimeoutNow(_) => None,
            Request::Append(args) => {
                let entries = args.entries.iter().map(|entry| entry.term);
                let terms = std::iter::once(args.prev_term).chain(entries).chain([args.term]);
                if !terms.is_sorted() {
                    return Some("the terms of `entries` fall, or come after `term`".to_owned());
                }
                let mut numbered = args.entries.iter().enumerate();
                numbered.find_map(|(at, entry)| Some(format!("`entries[{at}]`: {}", bad_entry(entry)?)))
            }
            Request::Snapshot(InstallSnapshotArgs { snapshot, .. }) => {
                let index = snapshot.last_index;
                if snapshot.last_term > term {
                    Some(format!("the `last_term` of `snapshot`, {}, comes after `term`", snapshot.last_term))
                } else if !INDICES.contains(&index) || index > last_index.saturating_add(INDEX_JUMP_MAX) {
                    Some(format!(
                        "the `last_index` of `snapshot`, {index}, is out of range: this node's log ends at {last_index}"
                    ))
                } else {
                    let what = snapshot.membership.problem()?;
                    Some(format!("the `membership` of `snapshot` {what}"))
                }
            }
        }
    }

    /// Brings the last piece of a snapshot to the disk and checks the state, before the core hears that it is complete:
    /// from then on the snapshot takes the place of everything before it. Gives the answer when there is nothing to
    /// complete.
    async fn complete_snapshot(
        &self,
        sender: &Sender,
        args: &InstallSnapshotArgs,
    ) -> RpcResult<Option<InstallSnapshotReply>> {
        // An empty piece asks the core what it thinks of this one. Its answer comes when the term and the pieces before
        // are on the disk.
        let empty = InstallSnapshotArgs { data: SnapshotBytes::default(), last: false, ..args.clone() };
        let reply = match self.ask(sender, Request::Snapshot(empty)).await? {
            Reply::Snapshot(reply) => reply,
            other => return Err(unexpected(other)),
        };
        let is_full = self.parts.status.borrow().disk == DiskSpace::Full;
        if reply.progress != SnapshotProgress::Next(args.offset) || is_full {
            return Ok(Some(reply));
        }
        let (snapshot, offset, data) = (args.snapshot.clone(), args.offset, args.data.clone());
        let check = self.parts.snapshot_check.clone();
        let completed = self.parts.snapshots.run(move |snapshots| {
            let check = |state: &mut dyn Read| check.get().map_or(Ok(()), |check| check(state));
            snapshots.complete(&snapshot, offset, &data.0, &check)
        });
        let completed = match completed.await {
            Ok(completed) => completed,
            Err(error) if error.is_panic() => Err(StorageError::Panicked),
            Err(_) => return Err(RpcError::unavailable("this node is stopping")),
        };
        let (index, from) = (args.snapshot.last_index, sender.from);
        let error = match completed {
            Ok(Completed::Published) => return Ok(None),
            Ok(Completed::Busy) => {
                return Err(RpcError::unavailable("a received snapshot is being checked"));
            }
            Ok(Completed::Incomplete) => RpcError::unavailable("the pieces before this one are gone"),
            Ok(Completed::Refused(error)) => {
                let error = error.to_string();
                let error = Excerpt(&error);
                RpcError::invalid_argument(format!("snapshot {index} cannot be restored: {error}"))
            }
            Err(error) if error.is_full() => RpcError::resource_exhausted("the disk is full").not_executed(),
            Err(error) => RpcError::internal(format!("snapshot {index} cannot be kept: {error}")),
        };
        if let Some(suppressed) = self.snapshot_log.permit() {
            tracing::warn!(from, index, suppressed, "discarded a received snapshot: {error}");
        }
        self.parts.inbox.send(Inbound::SnapshotGivenUp).await;
        Err(error)
    }
}

/// What is wrong with an entry of another node.
fn bad_entry(entry: &Entry) -> Option<String> {
    match &entry.payload {
        Payload::Blank => None,
        // A longer one could not be sent on.
        Payload::Command(command) => (command.json().len() > COMMAND_BYTES_MAX)
            .then(|| format!("a command may have {COMMAND_BYTES_MAX} bytes, not {}", command.json().len())),
        Payload::Membership(membership) => {
            let what = membership.problem()?;
            Some(format!("its `membership` {what}"))
        }
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
            Reply::Append(reply) => {
                Ok(AppendEntriesReply { digest: self.parts.digests.next_report(), ..reply })
            }
            other => Err(unexpected(other)),
        }
    }

    async fn install_snapshot(
        &self,
        sender: Sender,
        args: InstallSnapshotArgs,
    ) -> RpcResult<InstallSnapshotReply> {
        if args.last
            && let Some(reply) = self.complete_snapshot(&sender, &args).await?
        {
            return Ok(reply);
        }
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

    async fn identify(&self) -> RpcResult<IdentifyReply> {
        let ServiceParts { profile, id, status, .. } = &self.parts;
        let (incarnation, cluster_id) = profile.ids();
        let has_data = {
            let status = status.borrow();
            status.term > 0 || status.last_index > 0
        };
        Ok(IdentifyReply {
            cluster: profile.cluster.clone(),
            protocol: PROTOCOL,
            id: *id,
            incarnation,
            cluster_id,
            has_data,
            peers: profile.peers.keys().copied().collect(),
            url: profile.peers.get(id).cloned(),
            bootstrap: profile.bootstrap,
            joins: profile.joins,
            run: profile.run,
        })
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

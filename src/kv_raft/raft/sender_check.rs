//! Which messages of other nodes may reach the core, and what a node must write down before it answers them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use traitwire::log::LogThrottle;
use traitwire::{Code, RpcError, RpcResult};

use super::core::{Admission, Receiver, Reply, SenderRefusal};
use super::storage::{IdentityFile, NodeIdentity, SnapshotAccess, Standing};
use super::transport::PROTOCOL;
use super::{KnownMembership, Profile, Status};
use crate::services::raft::{AppendOutcome, ClusterId, NodeId, Sender, SnapshotProgress};

/// How many refused senders are remembered, so that each is logged once.
const REFUSED_MAX: usize = 1_024;

/// How often at most a refusal is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The key in the details of an error under which a refusal says of which kind it is.
const REFUSED_SENDER: &str = "refused_sender";

/// Decides about senders.
pub(super) struct SenderCheck {
    id: NodeId,
    profile: Arc<Profile>,
    membership: watch::Receiver<Arc<KnownMembership>>,
    status: watch::Receiver<Status>,
    /// Where the identity is written.
    disk: SnapshotAccess,
    /// Whether the identity says that this node has promised something.
    is_member: AtomicBool,
    refused: Mutex<BTreeSet<(NodeId, &'static str)>>,
    refused_log: LogThrottle,
}

impl SenderCheck {
    pub(super) fn new(
        id: NodeId,
        profile: Arc<Profile>,
        membership: watch::Receiver<Arc<KnownMembership>>,
        status: watch::Receiver<Status>,
        disk: SnapshotAccess,
    ) -> Self {
        let is_member = profile.identity.as_ref().is_none_or(|file| file.standing() == Standing::Member);
        Self {
            id,
            profile,
            membership,
            status,
            disk,
            is_member: AtomicBool::new(is_member),
            refused: Mutex::default(),
            refused_log: LogThrottle::new(LOG_INTERVAL),
        }
    }

    /// Lets a message of this sender through. A node that is adopted by a cluster has that on its disk when this returns.
    ///
    /// # Errors
    /// Why the message must not reach the core.
    pub(super) async fn admit(&self, sender: &Sender) -> RpcResult<()> {
        match self.decide(sender) {
            Admission::Accepted => Ok(()),
            Admission::Refused(refusal) => Err(self.refuse(sender.from, &refusal)),
            Admission::Adopt(cluster_id) => {
                self.adopt(sender.from, cluster_id).await?;
                // Another cluster may have been faster.
                match self.decide(sender) {
                    Admission::Refused(refusal) => Err(self.refuse(sender.from, &refusal)),
                    Admission::Accepted | Admission::Adopt(_) => Ok(()),
                }
            }
        }
    }

    fn decide(&self, sender: &Sender) -> Admission {
        let (incarnation, cluster_id) = self.profile.ids();
        let log_is_empty = self.status.borrow().last_index == 0;
        let known = self.membership.borrow();
        let receiver = Receiver {
            cluster: &self.profile.cluster,
            protocol: PROTOCOL,
            id: self.id,
            incarnation,
            cluster_id,
            membership: &known.membership,
            membership_index: known.index,
            committed: &known.committed,
            log_is_empty,
        };
        receiver.admit(sender)
    }

    async fn adopt(&self, from: NodeId, cluster_id: ClusterId) -> RpcResult<()> {
        let Some(file) = &self.profile.identity else { return Ok(()) };
        let adopt = move |identity: &mut NodeIdentity| {
            identity.cluster_id.get_or_insert(cluster_id);
        };
        self.write(file, adopt).await?;
        if file.ids().1 == Some(cluster_id) {
            tracing::info!(id = self.id, from, %cluster_id, "this node belongs to a cluster now");
        }
        Ok(())
    }

    /// Notes, before a reply leaves this node, that the node has promised something: an empty log beside that has been lost.
    ///
    /// # Errors
    /// When that cannot be written down: the reply must not leave.
    pub(super) async fn note_promise(&self, reply: &Reply) -> RpcResult<()> {
        if self.is_member.load(Ordering::Relaxed) || !is_promise(reply) {
            return Ok(());
        }
        if let Some(file) = &self.profile.identity {
            self.write(file, |identity| identity.standing = Standing::Member).await?;
        }
        self.is_member.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn write(
        &self,
        file: &Arc<IdentityFile>,
        change: impl FnOnce(&mut NodeIdentity) + Send + 'static,
    ) -> RpcResult<()> {
        let file = file.clone();
        match self.disk.run(move |_| file.update(change)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                if let Some(suppressed) = self.refused_log.permit() {
                    tracing::error!(
                        id = self.id,
                        suppressed,
                        "cannot write the identity of this node: {error}"
                    );
                }
                Err(RpcError::unavailable("this node cannot write its identity").not_executed())
            }
            Err(_) => Err(RpcError::unavailable("this node is stopping")),
        }
    }

    fn refuse(&self, from: NodeId, refusal: &SenderRefusal) -> RpcError {
        let kind = refusal.kind();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX
            && refused.insert((from, kind))
            && let Some(suppressed) = self.refused_log.permit()
        {
            tracing::warn!(id = self.id, from, suppressed, "refused a message: {refusal}");
        }
        drop(refused);
        let error = RpcError::new(Code::FailedPrecondition, refusal.to_string()).not_executed();
        error.with_detail(json!({ REFUSED_SENDER: kind }))
    }
}

/// Whether a reply promises something that must survive: a vote, or entries that are on this node's disk.
fn is_promise(reply: &Reply) -> bool {
    match reply {
        Reply::Vote(reply) => reply.granted,
        Reply::Append(reply) => matches!(reply.outcome, AppendOutcome::Matched(_)),
        Reply::Snapshot(reply) => reply.progress == SnapshotProgress::Installed,
        Reply::PreVote(_) | Reply::TimeoutNow(_) => false,
    }
}

/// What a refusal says about the node that has sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not a member of the cluster any more, or another node has taken its place.
    Expelled,
    /// It belongs to another cluster than the receiver.
    OtherCluster,
}

impl Verdict {
    /// What the error of a request to another node says about this one.
    pub fn of(error: &RpcError) -> Option<Self> {
        let kind = error.details().iter().find_map(|detail| detail.get(REFUSED_SENDER))?;
        match kind.as_str()? {
            "not_member" | "replaced" => Some(Self::Expelled),
            "cluster" | "cluster_id" => Some(Self::OtherCluster),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::{AppendEntriesReply, InstallSnapshotReply, VoteReply};

    #[test]
    fn what_a_crash_must_not_take_back_is_a_promise() {
        let vote = |granted| VoteReply { term: 1, granted };
        let append = |outcome| Reply::Append(AppendEntriesReply { term: 1, round: 1, outcome, digest: None });
        let snapshot =
            |progress| Reply::Snapshot(InstallSnapshotReply { term: 1, round: 1, last_index: 3, progress });
        for (reply, expected) in [
            (Reply::Vote(vote(true)), true),
            (Reply::Vote(vote(false)), false),
            (Reply::PreVote(vote(true)), false),
            (append(AppendOutcome::Matched(3)), true),
            (append(AppendOutcome::OldTerm), false),
            (snapshot(SnapshotProgress::Installed), true),
            (snapshot(SnapshotProgress::Next(9)), false),
        ] {
            assert_eq!(is_promise(&reply), expected, "{reply:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_it_means_for_the_sender() {
        let error = |kind: &str| RpcError::unavailable("no").with_detail(json!({ REFUSED_SENDER: kind }));
        assert_eq!(Verdict::of(&error("replaced")), Some(Verdict::Expelled));
        assert_eq!(Verdict::of(&error("not_member")), Some(Verdict::Expelled));
        assert_eq!(Verdict::of(&error("cluster_id")), Some(Verdict::OtherCluster));
        assert_eq!(Verdict::of(&error("incarnation")), None);
        assert_eq!(Verdict::of(&RpcError::unavailable("no")), None);
    }
}

//! How the nodes find out that the state of one of them has gone wrong.
//!
//! Each node says what its state has come to, with answers to the leader, every 4,096 entries and where the leader asks
//! for it. Once a majority of the voters has said the same, the leader writes that into the log, and a node that has come
//! to something else ends when it applies the entry: the leader too, if it is the one. Where no majority can agree, nobody
//! ends, since nobody knows who is right; the leader says so, and takes no snapshots, which would give its own state to
//! others. A leader asks before each of its snapshots, for the same reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use traitwire::log::LogThrottle;

use super::entry::{self, Action};
use super::tally::{Outcome, Tally};
use crate::kv_raft::raft::Raft;
use crate::services::raft::{Index, NodeId, StateDigest};
use crate::services::rsm::{Agreement, StateCheck};

/// How long a snapshot waits for the other nodes to say what they have come to. Nodes may be down, or of a version that
/// says nothing.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(1);

static DISPUTE_LOG: LogThrottle = LogThrottle::new(Duration::from_secs(10));

/// Compares what the nodes have come to.
pub(super) struct Comparison {
    raft: Arc<Raft>,
    tally: Tally,
    /// Up to which index this node has decided as a leader.
    settled: Index,
    /// The last index at which another node has come to something else than this one.
    contested: Arc<AtomicU64>,
    check: watch::Sender<Option<StateCheck>>,
}

impl Comparison {
    pub(super) fn new(raft: Arc<Raft>, check: watch::Sender<Option<StateCheck>>) -> Self {
        Self { raft, tally: Tally::default(), settled: 0, contested: Arc::default(), check }
    }

    /// This node's state has come to this.
    pub(super) fn add_own(&mut self, digest: StateDigest) {
        if !self.raft.is_alone() {
            self.tally.add(self.raft.id(), digest);
            self.raft.digests().report(digest);
        }
    }

    /// A majority has decided about this node.
    pub(super) fn note(&self, index: Index, agreement: Agreement) {
        self.check.send_if_modified(|check| {
            let is_news = check.is_none_or(|check| index > check.index || agreement == Agreement::Differs);
            if is_news {
                *check = Some(StateCheck { index, agreement });
            }
            is_news
        });
    }

    /// Forgets what this node has said: its state was replaced.
    pub(super) fn forget(&mut self) {
        self.tally.forget(Index::MAX);
    }

    pub(super) fn is_disputed(&self) -> bool {
        self.check.borrow().is_some_and(|check| check.agreement == Agreement::Disputed)
    }

    /// Decides as the leader what can be decided. `own` says what this node had come to at an index.
    pub(super) async fn judge(&mut self, own: impl Fn(Index) -> Option<u32>) {
        let last_index = self.raft.status().last_index;
        for ((index, node), digest) in self.raft.digests().take_heard() {
            if index <= last_index {
                self.tally.add(node, StateDigest { index, digest });
            }
        }
        let indices = self.tally.indices(self.settled);
        if indices.is_empty() {
            return;
        }
        let Some(membership) = self.raft.inspect(|core| core.membership().clone()).await else { return };
        for index in indices {
            match self.tally.outcome(index, &membership) {
                Outcome::Open { differs } => {
                    if differs {
                        self.contested.fetch_max(index, Ordering::Relaxed);
                    }
                    continue;
                }
                Outcome::Agreed { digest, nodes, unanimous } => {
                    let is_own = own(index).is_none_or(|own| own == digest);
                    if !unanimous {
                        tracing::error!(
                            index,
                            ?nodes,
                            "the states of the nodes differ: that of these nodes is right, and the others end"
                        );
                    }
                    self.note(index, if is_own { Agreement::Agreed } else { Agreement::Differs });
                    self.propose(index, digest, nodes);
                }
                Outcome::Disputed => {
                    self.note(index, Agreement::Disputed);
                    if let Some(suppressed) = DISPUTE_LOG.permit() {
                        tracing::error!(
                            index,
                            suppressed,
                            "the states of the nodes differ, and no majority has the same: nobody knows which one is \
                             right. All go on, and this node takes no snapshots. Restore the cluster from a backup"
                        );
                    }
                }
            }
            self.settled = index;
        }
        self.tally.forget(self.settled);
    }

    /// Writes a comparison into the log. Nobody waits for it, and if it is lost there will be another.
    fn propose(&self, index: Index, digest: u32, agreed: Vec<NodeId>) {
        let action = Action::Compare { index, digest, agreed };
        let command = entry::encode(fastrand::u64(..), None, &action);
        let raft = self.raft.clone();
        tokio::spawn(async move { raft.submit(command).await });
    }

    /// Asks the other nodes, as their leader, what they have come to where this one takes a snapshot. What is returned
    /// waits for their answers, and says whether the state may be given to others.
    pub(super) fn claim(&mut self, own: StateDigest) -> impl Future<Output = bool> + Send + use<> {
        let StateDigest { index, digest } = own;
        self.add_own(own);
        self.propose(index, digest, Vec::new());
        let mut check = self.check.subscribe();
        let contested = self.contested.clone();
        async move {
            let judged = check.wait_for(|check| check.is_some_and(|check| check.index >= index));
            match tokio::time::timeout(CLAIM_TIMEOUT, judged).await {
                Ok(Ok(check)) => check.is_some_and(|check| check.agreement == Agreement::Agreed),
                // Those that were not heard do not matter, but those that were may not disagree.
                Ok(Err(_)) | Err(_) => contested.load(Ordering::Relaxed) < index,
            }
        }
    }
}

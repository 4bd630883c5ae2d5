//! Changes of the membership: who waits for them, and who follows them.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::Driver;
use crate::kv_raft::raft::core::{Change, Changed, Input, Token};
use crate::kv_raft::raft::{KnownMembership, ProblemKind};
use crate::services::raft::{Index, Membership, NodeId};

/// Where the newest membership can be watched.
pub(super) type MembershipWatch = watch::Receiver<Arc<KnownMembership>>;

impl Driver {
    pub(super) fn change(&mut self, change: Change, answer: oneshot::Sender<Changed>) {
        let token = self.token();
        self.changes.insert(token, answer);
        self.step(Input::Change { token, change });
    }

    pub(super) fn found(&mut self, membership: Membership, answer: oneshot::Sender<bool>) {
        let was_empty = self.core.log_is_empty();
        self.step(Input::Found(membership));
        let _gone = answer.send(was_empty && !self.core.log_is_empty());
    }

    pub(super) fn answer_changes(&mut self, changes: Vec<(Token, Changed)>) {
        for (token, changed) in changes {
            if let Some(answer) = self.changes.remove(&token) {
                let _gone = answer.send(changed);
            }
        }
    }

    /// Lets everybody know who belongs to the cluster.
    pub(super) fn follow_membership(&mut self) {
        let known = KnownMembership::of(&self.core);
        self.peers.follow(&self.core.peers(), &known);
        for node in known.membership.nodes().into_iter().filter(|node| !known.membership.is_voter(*node)) {
            // It does not vote any more, so what it has lost does no harm.
            self.problems.resolve(ProblemKind::LostData(node));
        }
        self.membership.send_if_modified(|old| {
            let is_news = **old != known;
            if is_news {
                *old = Arc::new(known);
            }
            is_news
        });
    }

    pub(super) fn report_lost_data(&self, node: NodeId) {
        let text = format!(
            "node {node} has less of the log than it has acknowledged: its disk has lost data, so it does not vote until it has caught up"
        );
        self.problems.report(self.core.id(), ProblemKind::LostData(node), text);
    }

    pub(super) fn report_contradiction(&self, index: Index) {
        let leader = self
            .core
            .leader()
            .map_or_else(|| "its leader".to_owned(), |leader| format!("its leader, node {leader}"));
        let text = format!(
            "this node has committed another entry at index {index} than {leader}: one of them has lost data, and this node cannot follow. \
             Stop it, keep a copy of its folder, and start it with an empty one to let it rejoin"
        );
        self.problems.report(self.core.id(), ProblemKind::Contradiction, text);
    }
}

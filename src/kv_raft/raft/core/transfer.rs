//! Handing the leadership over (Raft dissertation, 3.10): no new commands, the other node gets the rest of the log, and then
//! it campaigns at once.

use super::io::{Request, Time};
use super::leader::Leadership;
use super::node::Node;
use crate::services::raft::{NodeId, TimeoutNowArgs};

/// A transfer under way.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    to: NodeId,
    /// When this node gives up and goes on leading.
    pub(super) ends_at: Time,
    /// How often the node was told to campaign.
    told: u32,
}

impl Leadership {
    /// Begins to hand over: to a certain node, or to the one that has most of the log of those that answered lately.
    pub(super) fn transfer(&mut self, node: &mut Node, to: Option<NodeId>) {
        let timeout_us = node.election_timeout_us();
        let can_lead = |id: &NodeId| {
            let is_there = |progress: &super::progress::Progress| {
                progress.answered > 0 && progress.answered_at.after_us(timeout_us) > node.now
            };
            node.membership().voters.contains(id) && self.progress.get(id).is_some_and(is_there)
        };
        let chosen = match to {
            Some(id) => Some(id).filter(can_lead),
            None => self.progress.keys().copied().filter(can_lead).max_by_key(|id| self.progress[id].matched),
        };
        let Some(to) = chosen else { return };
        self.transfer = Some(Transfer { to, ends_at: node.now.after_us(timeout_us), told: 0 });
        self.pump(node, to);
        self.continue_transfer(node, to);
    }

    /// A node has more of the log: if it is to lead and has all of it, it is told to.
    pub(super) fn continue_transfer(&mut self, node: &mut Node, with: NodeId) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.to == with) else { return };
        let has_all = self.progress.get(&with).is_some_and(|it| it.matched == node.log.last_index());
        if transfer.told == 0 && has_all {
            transfer.told += 1;
            node.request(with, Request::TimeoutNow(TimeoutNowArgs { term: node.term }));
        }
    }

    /// The node was told to lead and has not answered.
    pub(super) fn on_transfer_failed(&mut self, node: &mut Node, to: NodeId) {
        let retries_max = node.options.retries_max;
        let is_wanted = |transfer: &&mut Transfer| transfer.to == to && transfer.told <= retries_max;
        if let Some(transfer) = self.transfer.as_mut().filter(is_wanted) {
            transfer.told += 1;
            node.request(to, Request::TimeoutNow(TimeoutNowArgs { term: node.term }));
        }
    }

    /// A transfer that takes too long ends, so that commands are taken again.
    pub(super) fn end_late_transfer(&mut self, node: &Node) {
        self.transfer = self.transfer.take().filter(|transfer| transfer.ends_at > node.now);
    }
}

//! How a leader brings its snapshot to a node that needs entries which are gone (Raft, 7): one piece after the other, each as
//! large as the link carries in a while.

use super::io::Request;
use super::leader::Leadership;
use super::node::Node;
use super::progress::{Pace, Wait};
use super::replication::{heard_from_us, is_on_the_way, note_carried};
use crate::services::raft::{
    Index, InstallSnapshotArgs, InstallSnapshotReply, NodeId, Round, SnapshotBytes, SnapshotProgress,
};

/// After how long without progress a transfer of an older snapshot makes way for the newest one.
const SNAPSHOT_STALL_US: u64 = 10_000_000;

impl Leadership {
    pub(super) fn send_snapshot(&mut self, node: &mut Node, to: NodeId) {
        let newest = node.snapshot.clone().expect("where entries are gone there is a snapshot");
        let newest_round = self.round;
        self.round += 1;
        let round = self.round;
        let progress = self.progress_mut(to);
        let (snapshot, offset) = match &progress.pace {
            // A newer one does not take the place of one that is arriving, or none would ever arrive where they are saved
            // more quickly than they are sent.
            Pace::Snapshot { snapshot, offset }
                if *snapshot == newest || progress.piece_at.after_us(SNAPSHOT_STALL_US) > node.now =>
            {
                (snapshot.clone(), *offset)
            }
            Pace::Snapshot { .. } | Pace::Probe | Pace::Replicate => {
                progress.send_snapshot(newest.clone(), newest_round, node.now);
                (newest, 0)
            }
        };
        progress.waits_for = Wait::Answer(round);
        heard_from_us(progress, node, to, round);
        progress.forget_inflight();
        // No entry that the node may have says that a piece has arrived.
        is_on_the_way(progress, node, to, (Index::MAX, node.piece_bytes(to)));
        let term = node.term;
        let data = SnapshotBytes::default();
        let args = InstallSnapshotArgs { term, round, snapshot, offset, data, last: false };
        node.request(to, Request::Snapshot(args));
    }

    /// The host does not have the snapshot any more that it was to send: there is a newer one.
    pub(super) fn on_snapshot_gone(&mut self, node: &mut Node, to: NodeId, round: Round) {
        let (newest_round, newest) = (self.round, node.snapshot.clone());
        let Some(progress) = self.progress.get_mut(&to).filter(|it| it.waits_for == Wait::Answer(round))
        else {
            return;
        };
        match (&progress.pace, newest) {
            (Pace::Snapshot { snapshot, .. }, Some(newest)) if *snapshot != newest => {
                progress.send_snapshot(newest, newest_round, node.now);
                self.pump(node, to);
            }
            // The host knows better than this node for now; the next heartbeat tries again.
            (Pace::Snapshot { .. }, _) => progress.waits_for = Wait::Heartbeat,
            (Pace::Probe | Pace::Replicate, _) => {}
        }
    }

    /// The last index of the oldest snapshot that is being sent.
    pub(super) fn first_sent_snapshot(&self) -> Option<Index> {
        let sent = self.progress.values().filter_map(|progress| match &progress.pace {
            Pace::Snapshot { snapshot, .. } => Some(snapshot.last_index),
            Pace::Probe | Pace::Replicate => None,
        });
        sent.min()
    }

    pub(super) fn on_snapshot_reply(&mut self, node: &mut Node, from: NodeId, reply: &InstallSnapshotReply) {
        if !self.note_answer(node, from, reply.round) {
            return;
        }
        let newest_round = self.round;
        let progress = self.progress_mut(from);
        let Pace::Snapshot { snapshot, offset } = &mut progress.pace else { return };
        if snapshot.last_index != reply.last_index {
            return;
        }
        match reply.progress {
            SnapshotProgress::Installed => {
                let carried = progress.piece_arrived(0, node.now);
                progress.matched = progress.matched.max(reply.last_index.min(node.log.last_index()));
                progress.known_since = newest_round;
                progress.failures = 0;
                progress.replicate();
                note_carried(node, from, carried);
                self.on_progress(node, from);
            }
            SnapshotProgress::Next(wanted) => {
                let is_awaited = progress.waits_for == Wait::Answer(reply.round);
                // An answer that was given up can still tell that the node has more by now, and nothing else.
                if !is_awaited && wanted <= *offset {
                    return;
                }
                // A node that wants the same piece again cannot take it now.
                let goes_on = wanted != *offset;
                let taken = wanted.saturating_sub(*offset);
                *offset = wanted;
                progress.waits_for = if goes_on { Wait::Nothing } else { Wait::Heartbeat };
                if goes_on {
                    progress.failures = 0;
                    let carried = progress.piece_arrived(taken, node.now).filter(|_| is_awaited);
                    note_carried(node, from, carried);
                    self.pump(node, from);
                }
            }
            SnapshotProgress::OldTerm => {}
        }
    }
}

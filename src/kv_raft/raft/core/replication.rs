//! How a leader brings its log to the other nodes (Raft, 5.3): looking for the place up to which the logs agree, then many
//! messages under way at once, and a snapshot where entries are gone.

use super::bugs::Bug;
use super::io::{Request, Time};
use super::leader::Leadership;
use super::log::entry_bytes;
use super::node::Node;
use super::progress::{Pace, Progress, Wait};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, AppendOutcome, Conflict, Entry, Index, InstallSnapshotArgs,
    InstallSnapshotReply, NodeId, Round, SnapshotBytes, SnapshotProgress,
};

impl Leadership {
    /// Sends new entries: at once to as many nodes as it takes to commit them, those first that have answered fastest lately; little
    /// waits for company on its way to the others, which have less to do then ("thrifty": Moraru and others, "There Is More
    /// Consensus in Egalitarian Parliaments", 2013). Where the first do not answer soon, the others do.
    pub(super) fn spread(&mut self, node: &mut Node) {
        let mut ids: Vec<_> = self.progress.keys().copied().collect();
        ids.sort_by_key(|id| {
            let progress = &self.progress[id];
            let is_late = |since: Time| since.after_us(node.options.company_us) <= node.now;
            (progress.waits_since().is_some_and(is_late), progress.answer_us)
        });
        let mut first = vec![node.id()];
        for id in ids {
            let progress = &self.progress[&id];
            if progress.pace != Pace::Replicate {
                self.pump(node, id);
            } else if node.membership().has_quorum(|it| first.contains(&it)) && is_little(progress, node) {
                let at = node.now.after_us(node.options.company_us);
                let progress = self.progress_mut(id);
                progress.notice_at = progress.notice_at.min(at);
            } else {
                first.push(id);
                self.pump(node, id);
            }
        }
    }

    /// Gives all nodes a sign of life, with whatever there is to send.
    pub(super) fn beat_all(&mut self, node: &mut Node) {
        let ids: Vec<_> = self.progress.keys().copied().collect();
        for id in ids {
            self.beat(node, id);
        }
    }

    /// Sends entries or pieces of a snapshot, as far as the window allows.
    pub(super) fn pump(&mut self, node: &mut Node, to: NodeId) {
        loop {
            let progress = self.progress_mut(to);
            let next = progress.next;
            let ready = match &progress.pace {
                Pace::Probe | Pace::Snapshot { .. } => progress.waits_for == Wait::Nothing,
                Pace::Replicate => next <= node.log.last_index() && has_window(progress, node),
            };
            if !ready {
                return;
            }
            self.send(node, to);
        }
    }

    /// Sends one message at least, if only to be heard.
    pub(super) fn beat(&mut self, node: &mut Node, to: NodeId) {
        let progress = self.progress_mut(to);
        let is_answered = !matches!(progress.waits_for, Wait::Answer(_));
        match &progress.pace {
            // Entries that may still be on their way are not sent again: the answer to this tells whether they have come.
            Pace::Probe if !is_answered && progress.next > node.log.base_index() => {
                let prev_index = progress.next - 1;
                self.send_append(node, to, prev_index, Vec::new());
            }
            Pace::Probe => self.send(node, to),
            Pace::Replicate if progress.next <= node.log.last_index() && has_window(progress, node) => {
                self.pump(node, to);
            }
            Pace::Replicate => {
                let prev_index = progress.next - 1;
                self.send_append(node, to, prev_index, Vec::new());
            }
            Pace::Snapshot { .. } => {
                // Index 0 fits every log.
                self.send_append(node, to, 0, Vec::new());
                if is_answered {
                    self.send(node, to);
                }
            }
        }
    }

    /// Sends the next message.
    fn send(&mut self, node: &mut Node, to: NodeId) {
        let progress = self.progress_mut(to);
        match &progress.pace {
            Pace::Probe | Pace::Replicate if progress.next > node.log.base_index() => {
                let next = progress.next;
                let options = &node.options;
                let entries = node.log.slice(next, options.append_entries_max, options.append_bytes_max);
                self.send_append(node, to, next - 1, entries);
            }
            Pace::Probe | Pace::Replicate | Pace::Snapshot { .. } => self.send_snapshot(node, to),
        }
    }

    fn send_append(&mut self, node: &mut Node, to: NodeId, prev_index: Index, entries: Vec<Entry>) {
        self.round += 1;
        let round = self.round;
        let progress = self.progress_mut(to);
        match progress.pace {
            Pace::Probe => progress.waits_for = Wait::Answer(round),
            Pace::Replicate if !entries.is_empty() => {
                progress.sent(round, entries.iter().map(entry_bytes).sum(), node.now);
                progress.next += entries.len() as u64;
            }
            Pace::Replicate | Pace::Snapshot { .. } => {}
        }
        heard_from_us(progress, node);
        progress.notice_at = Time::NEVER;
        let prev_term = node.log.term_at(prev_index).unwrap_or(0);
        let (term, commit) = (node.term, node.commit);
        let args = AppendEntriesArgs { term, round, prev_index, prev_term, entries, commit };
        node.request(to, Request::Append(args));
    }

    fn send_snapshot(&mut self, node: &mut Node, to: NodeId) {
        let snapshot = node.snapshot.clone().expect("where entries are gone there is a snapshot");
        let newest_round = self.round;
        self.round += 1;
        let round = self.round;
        let progress = self.progress_mut(to);
        let offset = match &progress.pace {
            Pace::Snapshot { snapshot: sending, offset } if *sending == snapshot => *offset,
            // There is a newer one, and the one that was being sent is gone.
            Pace::Snapshot { .. } | Pace::Probe | Pace::Replicate => {
                progress.send_snapshot(snapshot.clone(), newest_round);
                0
            }
        };
        progress.waits_for = Wait::Answer(round);
        heard_from_us(progress, node);
        let term = node.term;
        let data = SnapshotBytes::default();
        let args = InstallSnapshotArgs { term, round, snapshot, offset, data, last: false };
        node.request(to, Request::Snapshot(args));
    }

    pub(super) fn on_append_reply(&mut self, node: &mut Node, from: NodeId, reply: &AppendEntriesReply) {
        if !self.note_answer(node, from, reply.round) {
            return;
        }
        match &reply.outcome {
            AppendOutcome::Matched(index) => self.on_matched(node, from, reply.round, *index),
            AppendOutcome::Conflict(conflict) => self.on_conflict(node, from, reply.round, conflict),
            AppendOutcome::OldTerm => {}
        }
    }

    /// Notes that a node is there. False when the answer cannot be one to this leader.
    fn note_answer(&mut self, node: &Node, from: NodeId, round: Round) -> bool {
        let newest = self.round;
        let Some(progress) = self.progress.get_mut(&from).filter(|_| round <= newest) else { return false };
        progress.answered = progress.answered.max(round);
        progress.answered_at = node.now;
        true
    }

    fn on_matched(&mut self, node: &mut Node, from: NodeId, round: Round, index: Index) {
        let last_index = node.log.last_index();
        let progress = self.progress_mut(from);
        // What a node has is what it says, and not where the next message begins. It does not become less by an answer that
        // comes late, and it is not more than there is.
        let index = if node.has(Bug::MatchFromNext) { progress.next - 1 } else { index.min(last_index) };
        if index >= progress.matched {
            progress.matched = index;
            progress.matched_round = progress.matched_round.max(round);
        }
        progress.next = progress.next.max(progress.matched + 1);
        progress.failures = 0;
        progress.arrived(round, node.now);
        match &progress.pace {
            Pace::Probe if round >= progress.probing_since => progress.replicate(),
            Pace::Snapshot { .. } if progress.matched >= node.log.base_index() && progress.matched > 0 => {
                progress.replicate();
            }
            Pace::Probe | Pace::Replicate | Pace::Snapshot { .. } => {}
        }
        self.advance_commit(node);
        self.pump(node, from);
        self.continue_transfer(node, from);
    }

    fn on_conflict(&mut self, node: &mut Node, from: NodeId, round: Round, conflict: &Conflict) {
        let newest_round = self.round;
        let next = next_after_conflict(node, conflict);
        let progress = self.progress_mut(from);
        let is_news = round >= progress.probing_since && conflict.prev_index < progress.next;
        if !is_news || matches!(progress.pace, Pace::Snapshot { .. }) {
            return;
        }
        if conflict.prev_index <= progress.matched {
            if round <= progress.matched_round {
                return;
            }
            // It has lost what it had acknowledged, or the network has turned the order round. To believe less of it
            // than is there costs a message; not to ask again would leave it behind for ever.
            progress.matched = 0;
        }
        progress.probe(next, newest_round);
        self.pump(node, from);
    }

    pub(super) fn on_snapshot_reply(&mut self, node: &mut Node, from: NodeId, reply: &InstallSnapshotReply) {
        if !self.note_answer(node, from, reply.round) {
            return;
        }
        let progress = self.progress_mut(from);
        let Pace::Snapshot { snapshot, offset } = &mut progress.pace else { return };
        if snapshot.last_index != reply.last_index {
            return;
        }
        match reply.progress {
            SnapshotProgress::Installed => {
                progress.matched = progress.matched.max(reply.last_index.min(node.log.last_index()));
                progress.failures = 0;
                progress.replicate();
                self.advance_commit(node);
                self.pump(node, from);
                self.continue_transfer(node, from);
            }
            SnapshotProgress::Next(wanted) if progress.waits_for == Wait::Answer(reply.round) => {
                // A node that wants the same piece again cannot take it now.
                let goes_on = wanted != *offset;
                *offset = wanted;
                progress.waits_for = if goes_on { Wait::Nothing } else { Wait::Heartbeat };
                if goes_on {
                    progress.failures = 0;
                    self.pump(node, from);
                }
            }
            SnapshotProgress::Next(_) | SnapshotProgress::OldTerm => {}
        }
    }

    /// A message got no answer: it is repeated at once, a few times between two signs of life.
    pub(super) fn on_send_failed(&mut self, node: &mut Node, to: NodeId, round: Round) {
        let newest_round = self.round;
        let retries_max = node.options.retries_max;
        let Some(progress) = self.progress.get_mut(&to) else { return };
        let concerns = match &progress.pace {
            Pace::Probe | Pace::Snapshot { .. } => progress.waits_for == Wait::Answer(round),
            Pace::Replicate => round >= progress.probing_since,
        };
        if !concerns {
            return;
        }
        if progress.pace == Pace::Replicate {
            let next = progress.matched + 1;
            progress.probe(next, newest_round);
        }
        if progress.failures < retries_max {
            progress.failures += 1;
            progress.waits_for = Wait::Nothing;
            self.pump(node, to);
        } else {
            progress.waits_for = Wait::Heartbeat;
        }
    }
}

/// Where to look next for the place up to which the logs agree: each answer rules out a whole term (Raft, 5.3, end).
fn next_after_conflict(node: &Node, conflict: &Conflict) -> Index {
    let Conflict { prev_index, term, first_index } = *conflict;
    if term == 0 {
        return first_index.min(prev_index);
    }
    match node.log.last_index_up_to_term(term) {
        // Both have entries of that term: they agree at most up to our last one.
        Some(last) if node.log.term_at(last) == Some(term) => (last + 1).min(prev_index),
        // We have none: they agree at most before the follower's first one, and before our first one of a later term.
        Some(last) => first_index.min(last + 1).min(prev_index),
        // All that we have is of later terms: only a snapshot helps.
        None => node.log.base_index(),
    }
}

/// Whether what there is to send is worth no message of its own.
fn is_little(progress: &Progress, node: &Node) -> bool {
    let (sent, last) = (progress.next - 1, node.log.last_index());
    last - sent < node.options.company_entries && node.log.bytes(sent, last) < node.options.company_bytes
}

fn has_window(progress: &Progress, node: &Node) -> bool {
    progress.has_window(node.options.inflight_appends_max, node.options.inflight_bytes_max)
}

fn heard_from_us(progress: &mut Progress, node: &Node) {
    progress.heartbeat_at = node.now.after_us(node.options.heartbeat_us);
}

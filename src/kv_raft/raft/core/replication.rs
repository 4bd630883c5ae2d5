//! How a leader brings its log to the other nodes (Raft, 5.3): looking for the place up to which the logs agree, then many
//! messages under way at once, and a snapshot where entries are gone.

use super::bugs::Bug;
use super::io::{Request, Time};
use super::leader::Leadership;
use super::log::entry_bytes;
use super::node::Node;
use super::progress::{Carried, Pace, Progress, Wait};
use crate::services::raft::{
    AppendEntriesArgs, AppendEntriesReply, AppendOutcome, Conflict, Entry, Index, NodeId, Round,
};

/// What the disk of another node may take for a piece of a snapshot, before it counts as lost on its way.
const PIECE_WRITE_US: u64 = 500_000;

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
            } else if node.has_quorum(|it| first.contains(&it)) && is_little(progress, node) {
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
                Pace::Replicate => next <= node.log.last_index() && has_window(progress, node, to),
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
            // Entries that may still be on their way are not sent again: their answer comes, or the news that there is none.
            Pace::Probe if !is_answered && progress.next > node.log.base_index() => {
                self.send_heartbeat(node, to);
            }
            Pace::Probe => self.send(node, to),
            Pace::Replicate if progress.next <= node.log.last_index() && has_window(progress, node, to) => {
                self.pump(node, to);
            }
            Pace::Replicate => self.send_heartbeat(node, to),
            Pace::Snapshot { .. } => {
                let in_flight_us = progress.oldest_in_flight_us(node.now);
                let may_take_us = node.arrives_within_us(to, progress.inflight_bytes()) + PIECE_WRITE_US;
                let is_late = !is_answered && in_flight_us.is_none_or(|us| us >= may_take_us);
                if is_late && let Some(late_us) = in_flight_us {
                    // It is sent again, and shorter. If it arrives all the same, its answer says so.
                    node.links.get_mut(to).on_bulk_failure(late_us);
                }
                self.send_heartbeat(node, to);
                if is_answered || is_late {
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
                let bytes_max = options.append_bytes_max.min(node.window_bytes(to));
                let entries = node.log.slice(next, options.append_entries_max, bytes_max);
                self.send_entries(node, to, next - 1, entries);
            }
            Pace::Probe | Pace::Replicate | Pace::Snapshot { .. } => self.send_snapshot(node, to),
        }
    }

    /// Sends a message without entries, which fits the log of the node wherever that is in doubt: an answer to one that has
    /// overtaken entries must not look like a conflict.
    fn send_heartbeat(&mut self, node: &mut Node, to: NodeId) {
        let progress = self.progress_mut(to);
        let known = match progress.pace {
            Pace::Probe => progress.next - 1,
            Pace::Replicate if is_arriving(progress, node, to) => progress.matched,
            // The answer tells whether what should have come has come.
            Pace::Replicate => progress.next - 1,
            Pace::Snapshot { .. } => 0,
        };
        // Index 0 fits every log.
        let prev_index = if known < node.log.base_index() { 0 } else { known };
        let bytes = progress.inflight_bytes();
        self.send_append(node, to, (prev_index, Vec::new()), bytes);
    }

    /// Sends entries after `prev_index`, or none where the node has them all.
    fn send_entries(&mut self, node: &mut Node, to: NodeId, prev_index: Index, entries: Vec<Entry>) {
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        let last = prev_index + entries.len() as u64;
        let ahead = self.progress_mut(to).inflight_bytes() + bytes;
        if node.busy_us(to, bytes) > 0 {
            // What takes long is announced, so that nobody takes the silence behind it for the end of the leader.
            self.send_append(node, to, (prev_index, Vec::new()), ahead);
        }
        self.send_append(node, to, (prev_index, entries), ahead);
        let round = self.round;
        let progress = self.progress_mut(to);
        if progress.pace == Pace::Probe {
            progress.waits_for = Wait::Answer(round);
        }
        if bytes > 0 {
            if progress.pace == Pace::Replicate {
                progress.next = last + 1;
            }
            is_on_the_way(progress, node, to, (last, bytes));
        }
    }

    /// Sends what comes after an index, and says what that means with so many bytes on the way.
    fn send_append(
        &mut self,
        node: &mut Node,
        to: NodeId,
        (prev_index, entries): (Index, Vec<Entry>),
        bytes_on_the_way: usize,
    ) {
        self.round += 1;
        let round = self.round;
        let delay = node.link_delay(to, bytes_on_the_way);
        let progress = self.progress_mut(to);
        heard_from_us(progress, node, to, round);
        progress.notice_at = Time::NEVER;
        let prev_term = node.log.term_at(prev_index).unwrap_or(0);
        let (term, commit) = (node.term, node.commit);
        let args = AppendEntriesArgs { term, round, prev_index, prev_term, entries, commit, delay };
        node.request(to, Request::Append(args));
    }

    /// How many bytes are on the way to a node.
    pub(super) fn bytes_on_the_way(&self, to: NodeId) -> usize {
        self.progress.get(&to).map_or(0, Progress::inflight_bytes)
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
        let newest_round = self.round;
        // A node that was removed is forgotten with the answer that commits its removal.
        let Some(progress) = self.progress.get_mut(&from) else { return };
        if progress.in_flight_us(reply.round, node.now).is_some() {
            // It has come and was not taken: the disk of the node is full, say. To send it again at once would be no use.
            let next = progress.matched + 1;
            progress.probe(next, newest_round);
            progress.waits_for = Wait::Heartbeat;
        }
    }

    /// Notes that a node is there. False when the answer cannot be one to this leader.
    pub(super) fn note_answer(&mut self, node: &Node, from: NodeId, round: Round) -> bool {
        let newest = self.round;
        let is_answer = |it: &&mut Progress| it.born < round && round <= newest;
        let Some(progress) = self.progress.get_mut(&from).filter(is_answer) else { return false };
        progress.answered = progress.answered.max(round);
        progress.answered_at = node.now;
        true
    }

    fn on_matched(&mut self, node: &mut Node, from: NodeId, round: Round, index: Index) {
        let (last_index, newest_round) = (node.log.last_index(), self.round);
        let progress = self.progress_mut(from);
        // What a node has is what it says, and not where the next message begins. It does not become less by an answer that
        // comes late, and it is not more than there is.
        let index = if node.has(Bug::MatchFromNext) { progress.next - 1 } else { index.min(last_index) };
        if index > progress.matched {
            progress.known_since = newest_round;
        }
        if index >= progress.matched {
            progress.matched = index;
            progress.matched_round = progress.matched_round.max(round);
        }
        progress.next = progress.next.max(progress.matched + 1);
        progress.failures = 0;
        let carried = progress.arrived(round, node.now);
        match &progress.pace {
            Pace::Probe if round >= progress.probing_since => progress.replicate(),
            Pace::Snapshot { .. } if progress.matched >= node.log.base_index() && progress.matched > 0 => {
                progress.replicate();
            }
            Pace::Probe | Pace::Replicate | Pace::Snapshot { .. } => {}
        }
        note_carried(node, from, carried);
        self.on_progress(node, from);
    }

    /// A node has more of the log.
    pub(super) fn on_progress(&mut self, node: &mut Node, from: NodeId) {
        self.advance_commit(node);
        if self.progress.contains_key(&from) {
            self.pump(node, from);
            self.continue_transfer(node, from);
        }
    }

    fn on_conflict(&mut self, node: &mut Node, from: NodeId, round: Round, conflict: &Conflict) {
        let newest_round = self.round;
        let next = next_after_conflict(node, conflict);
        let progress = self.progress_mut(from);
        if let Some(in_flight_us) = progress.oldest_in_flight_us(node.now) {
            node.links.get_mut(from).on_bulk_failure(in_flight_us);
        }
        let is_news = round >= progress.probing_since && conflict.prev_index < progress.next;
        if !is_news || matches!(progress.pace, Pace::Snapshot { .. }) {
            return;
        }
        if conflict.prev_index <= progress.matched {
            if round <= progress.matched_round {
                if progress.in_flight_us(round, node.now).is_some() {
                    // What was before it had not come then, and has come since.
                    progress.probe(next, newest_round);
                    self.pump(node, from);
                }
                return;
            }
            // It has lost what it had acknowledged, or the network has turned the order round. To believe less of it
            // than is there costs a message; not to ask again would leave it behind for ever.
            progress.matched = 0;
            // The message was sent when the node was known to have what it does not have any more.
            if round > progress.known_since {
                self.on_lost_data(node, from);
            }
        }
        self.progress_mut(from).probe(next, newest_round);
        self.pump(node, from);
    }

    /// A message got no answer: it is repeated at once, a few times between two heartbeats.
    pub(super) fn on_send_failed(&mut self, node: &mut Node, to: NodeId, round: Round) {
        let newest_round = self.round;
        let retries_max = node.options.retries_max;
        let Some(progress) = self.progress.get_mut(&to) else { return };
        let took_us = progress.in_flight_us(round, node.now);
        if let Some(took_us) = took_us {
            node.links.get_mut(to).on_bulk_failure(took_us);
        }
        let concerns = match &progress.pace {
            Pace::Probe | Pace::Snapshot { .. } => progress.waits_for == Wait::Answer(round),
            Pace::Replicate => took_us.is_some(),
        };
        let may_repeat = progress.failures < retries_max;
        if !concerns {
            // A heartbeat says nothing about the entries that are on their way. It is repeated unless there was a newer message.
            if took_us.is_none() && progress.newest_round == round && may_repeat {
                progress.failures += 1;
                self.send_heartbeat(node, to);
            }
            return;
        }
        if progress.pace == Pace::Replicate {
            let next = progress.matched + 1;
            progress.probe(next, newest_round);
        }
        progress.forget_inflight();
        if may_repeat {
            progress.failures += 1;
            progress.waits_for = Wait::Nothing;
            self.pump(node, to);
        } else {
            progress.waits_for = Wait::Heartbeat;
        }
    }
}

/// Whether the oldest entries on their way to a node have not been for longer than they may take.
fn is_arriving(progress: &Progress, node: &Node, to: NodeId) -> bool {
    let may_take_us = node.arrives_within_us(to, progress.inflight_bytes());
    progress.oldest_in_flight_us(node.now).is_some_and(|in_flight_us| in_flight_us < may_take_us)
}

/// What the leader learns about the link to a node from an answer.
pub(super) fn note_carried(node: &mut Node, from: NodeId, carried: Option<Carried>) {
    if let Some(Carried { bytes, took_us }) = carried {
        node.links.get_mut(from).on_bulk(bytes, took_us);
    }
}

/// A message with many bytes has begun its way: until it can have arrived, a node that does not answer is not taken for gone.
pub(super) fn is_on_the_way(progress: &mut Progress, node: &Node, to: NodeId, (last, bytes): (Index, usize)) {
    progress.sent(progress.newest_round, last, bytes, node.now);
    let busy_us = node.busy_us(to, progress.inflight_bytes());
    if busy_us > 0 {
        progress.busy_until = progress.busy_until.max(node.now.after_us(busy_us));
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

fn has_window(progress: &Progress, node: &Node, to: NodeId) -> bool {
    let bytes_max = node.options.inflight_bytes_max.min(2 * node.window_bytes(to));
    progress.has_window(node.options.inflight_appends_max, bytes_max)
}

pub(super) fn heard_from_us(progress: &mut Progress, node: &Node, to: NodeId, round: Round) {
    progress.newest_round = round;
    progress.heartbeat_at = node.now.after_us(node.heartbeat_us(to));
}

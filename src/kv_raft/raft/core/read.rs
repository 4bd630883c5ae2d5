//! Reads without the log: a leader whose leadership a majority confirms, after the read was asked for, knows everything
//! that was committed by then (Raft dissertation, 6.4).

use std::collections::VecDeque;

use super::bugs::Bug;
use super::io::{ReadOutcome, Refusal, Token};
use super::leader::Leadership;
use super::node::Node;
use crate::services::raft::Round;

/// The reads that wait for confirmation.
///
/// Invariant: their rounds never fall from one to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// Each with the newest round before it: answers to later ones confirm it, so every try has a fresh number.
    waiting: VecDeque<(Token, Round)>,
    /// The nodes were asked for confirmation after this round.
    asked_after: Option<Round>,
}

impl Reads {
    /// Empties the queue.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Token> {
        std::mem::take(&mut self.waiting).into_iter().map(|(token, _)| token)
    }
}

impl Leadership {
    pub(super) fn read(&mut self, node: &mut Node, token: Token) {
        if self.reads.waiting.len() >= node.options.reads_max {
            node.effects.reads.push((token, ReadOutcome::Refused(Refusal::TooMuch)));
            return;
        }
        self.reads.waiting.push_back((token, self.round));
        self.ask(node);
        self.release_reads(node);
    }

    /// Asks for confirmation, unless it was asked for and has not come: all that wait meanwhile share the next one.
    fn ask(&mut self, node: &mut Node) {
        if self.reads.asked_after.is_none() && !self.reads.waiting.is_empty() {
            self.reads.asked_after = Some(self.round);
            self.beat_all(node);
        }
    }

    /// Answers the reads that are confirmed.
    pub(super) fn release_reads(&mut self, node: &mut Node) {
        if self.reads.waiting.is_empty() && self.reads.asked_after.is_none() {
            return;
        }
        let answered = |id| {
            let is_sure = id == node.id() || node.has(Bug::ReadWithoutQuorum);
            if is_sure { u64::MAX } else { self.progress.get(&id).map_or(0, |it| it.answered) }
        };
        let confirmed = node.quorum_value(answered);
        let too_much = if node.has(Bug::ReadConfirmedByOldRound) { 3 } else { 0 };
        let confirmed = confirmed.saturating_add(too_much);
        if self.knows_all_committed(node) {
            while let Some((token, _)) = self.reads.waiting.pop_front_if(|(_, round)| *round < confirmed) {
                node.effects.reads.push((token, ReadOutcome::Ready(node.commit)));
            }
        }
        if self.reads.asked_after.is_some_and(|round| round < confirmed) {
            self.reads.asked_after = None;
        }
        // A read that is confirmed may still wait for an entry of this term to be committed. Asking again does not help it, and
        // where this node alone is the majority, every answer would cause another question to all.
        if self.reads.waiting.back().is_some_and(|(_, round)| *round >= confirmed) {
            self.ask(node);
        }
    }
}

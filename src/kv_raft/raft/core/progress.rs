//! What a leader knows of one other node.

use std::collections::VecDeque;

use super::io::Time;
use crate::services::raft::{Incarnation, Index, Round, SnapshotMeta};

/// How the leader sends to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It looks for the place up to which the logs agree: one message at a time.
    Probe,
    /// The logs agree up to `next`, so messages follow each other without waiting.
    Replicate,
    /// The node needs a snapshot, of which it has this many bytes.
    Snapshot {
        /// Which snapshot.
        snapshot: SnapshotMeta,
        /// The offset of the next piece.
        offset: u64,
    },
}

/// What the next message to a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing.
    Nothing,
    /// The answer to the message of this round, or the news that there will be none.
    Answer(Round),
    /// The next sign of life: to send sooner would be no use.
    Heartbeat,
}

/// A message with entries, or with a piece of a snapshot, that was sent and not answered.
#[derive(Clone, Copy, Debug)]
struct Inflight {
    round: Round,
    /// The index of the last entry in it.
    last: Index,
    bytes: usize,
    /// The bytes that were on the way when it was sent, its own included.
    bytes_ahead: usize,
    sent_at: Time,
}

/// What an answer says about the link: so many bytes took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) bytes: usize,
    pub(super) took_us: u64,
}

/// What a leader knows of one other node.
///
/// Invariants:
/// - `matched < next`: the log of the node is the leader's up to `matched`, safe on its disk.
/// - `answered` never falls within a term.
/// - In `Replicate`, the entries from `matched` to `next` are those in flight.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Which incarnation the node has, if that is known.
    pub(super) incarnation: Option<Incarnation>,
    /// Answers to messages up to this round come from another incarnation.
    pub(super) born: Round,
    /// Up to where the node is known to have the leader's log on its disk.
    pub(super) matched: Index,
    /// The newest round whose answer said so.
    pub(super) matched_round: Round,
    /// Messages after this round were sent when `matched` was known.
    pub(super) known_since: Round,
    /// The first entry of the next message.
    pub(super) next: Index,
    /// How to send.
    pub(super) pace: Pace,
    /// The newest round that the node has answered in this term.
    pub(super) answered: Round,
    /// When the node has last answered in this term.
    pub(super) answered_at: Time,
    /// Until when the node is excused for not answering, since much is on the way to it.
    pub(super) busy_until: Time,
    /// When the next sign of life is due.
    pub(super) heartbeat_at: Time,
    /// The newest message that was sent to the node.
    pub(super) newest_round: Round,
    /// When the node is to hear of entries or a commit that no message has carried yet.
    pub(super) notice_at: Time,
    /// How often messages have failed since the last success or sign of life.
    pub(super) failures: u32,
    /// In `Probe` and `Snapshot`: what the next message waits for.
    pub(super) waits_for: Wait,
    /// Failures and conflicts of messages before this round say nothing new.
    pub(super) probing_since: Round,
    /// How long answers to messages with entries have taken lately, smoothed; 0 before there was one.
    pub(super) answer_us: u64,
    /// In `Snapshot`: when the transfer has last gone on.
    pub(super) piece_at: Time,
    inflight: VecDeque<Inflight>,
    inflight_bytes: usize,
}

impl Progress {
    /// Nothing is known yet, so the end of the leader's log, before `next`, is tried first. `round` is the newest one sent.
    pub(super) fn new(next: Index, now: Time, round: Round, incarnation: Option<Incarnation>) -> Self {
        Self {
            incarnation,
            born: round,
            matched: 0,
            matched_round: 0,
            known_since: Round::MAX,
            next,
            pace: Pace::Probe,
            answered: 0,
            answered_at: now,
            busy_until: Time(0),
            heartbeat_at: now,
            newest_round: 0,
            notice_at: Time::NEVER,
            failures: 0,
            waits_for: Wait::Nothing,
            probing_since: 0,
            answer_us: 0,
            piece_at: now,
            inflight: VecDeque::new(),
            inflight_bytes: 0,
        }
    }

    /// Looks again for the place up to which the logs agree, beginning before `next`. `round` is the newest one sent.
    pub(super) fn probe(&mut self, next: Index, round: Round) {
        self.pace = Pace::Probe;
        self.next = next.max(self.matched + 1);
        self.waits_for = Wait::Nothing;
        self.probing_since = round + 1;
        self.forget_inflight();
    }

    /// Lets messages follow each other. What is on the way already is not sent again.
    pub(super) fn replicate(&mut self) {
        if let Pace::Snapshot { .. } = self.pace {
            self.forget_inflight();
        }
        self.pace = Pace::Replicate;
        self.next = self.inflight.back().map_or(0, |message| message.last).max(self.matched) + 1;
        self.waits_for = Wait::Nothing;
    }

    /// Brings a snapshot from the beginning. `round` is the newest one sent.
    pub(super) fn send_snapshot(&mut self, snapshot: SnapshotMeta, round: Round, now: Time) {
        self.pace = Pace::Snapshot { snapshot, offset: 0 };
        self.piece_at = now;
        self.waits_for = Wait::Nothing;
        self.probing_since = round + 1;
        self.forget_inflight();
    }

    /// A message with entries up to `last`, or with a piece of a snapshot, is under way.
    pub(super) fn sent(&mut self, round: Round, last: Index, bytes: usize, now: Time) {
        self.inflight_bytes += bytes;
        let bytes_ahead = self.inflight_bytes;
        self.inflight.push_back(Inflight { round, last, bytes, bytes_ahead, sent_at: now });
    }

    /// The node has answered a message, and has all entries up to `matched`. What that says about the link, if it was one
    /// with entries.
    pub(super) fn arrived(&mut self, round: Round, now: Time) -> Option<Carried> {
        let answered = self.inflight.iter().find(|message| message.round == round).map(|message| Carried {
            bytes: message.bytes_ahead,
            took_us: now.0.saturating_sub(message.sent_at.0),
        });
        let matched = self.matched;
        // An answer to a message that carries nothing may overtake one that carries much, which is still on the way.
        while let Some(message) = self.inflight.pop_front_if(|message| message.last <= matched) {
            self.inflight_bytes -= message.bytes;
        }
        if let Some(Carried { took_us, .. }) = answered {
            self.answer_us = if self.answer_us == 0 { took_us } else { (7 * self.answer_us + took_us) / 8 };
        }
        answered
    }

    /// A piece of a snapshot was answered; this many bytes of it were taken.
    pub(super) fn piece_arrived(&mut self, bytes: u64, now: Time) -> Option<Carried> {
        let took_us = now.0.saturating_sub(self.inflight.front()?.sent_at.0);
        self.forget_inflight();
        self.piece_at = now;
        Some(Carried { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), took_us })
    }

    /// How long ago a message was sent that has entries or a piece of a snapshot and no answer.
    pub(super) fn in_flight_us(&self, round: Round, now: Time) -> Option<u64> {
        let message = self.inflight.iter().find(|message| message.round == round)?;
        Some(now.0.saturating_sub(message.sent_at.0))
    }

    /// The same for the oldest one.
    pub(super) fn oldest_in_flight_us(&self, now: Time) -> Option<u64> {
        self.waits_since().map(|sent_at| now.0.saturating_sub(sent_at.0))
    }

    /// How many bytes are on the way to the node.
    pub(super) fn inflight_bytes(&self) -> usize {
        self.inflight_bytes
    }

    /// Since when the oldest message with entries has no answer.
    pub(super) fn waits_since(&self) -> Option<Time> {
        self.inflight.front().map(|message| message.sent_at)
    }

    /// Whether another message with entries may be sent.
    pub(super) fn has_window(&self, messages_max: usize, bytes_max: usize) -> bool {
        self.inflight.is_empty() || (self.inflight.len() < messages_max && self.inflight_bytes < bytes_max)
    }

    pub(super) fn forget_inflight(&mut self) {
        self.inflight.clear();
        self.inflight_bytes = 0;
    }
}

//! What the nodes' states have come to, on its way to the leader: the state machine of a follower puts its digests here,
//! the service sends them along with answers, and the driver of the leader puts here what it hears.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::services::raft::{Index, NodeId, StateDigest};

/// With how many answers a digest is sent, since answers may be lost.
const SENDS: u32 = 16;

/// How many digests may wait to be sent; of more, the oldest is dropped.
const UNSENT_MAX: usize = 8;

/// How many digests of other nodes may wait for the state machine; of more, the oldest is dropped.
const HEARD_MAX: usize = 256;

/// The digests of a node.
#[derive(Debug, Default)]
pub(in crate::kv_raft) struct Digests {
    state: Mutex<State>,
    has_unsent: AtomicBool,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be sent, each with how often it still is.
    unsent: VecDeque<(StateDigest, u32)>,
    heard: BTreeMap<(Index, NodeId), u32>,
}

impl Digests {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what this node's state has come to along with its next answers.
    pub(in crate::kv_raft) fn report(&self, digest: StateDigest) {
        let mut state = self.lock();
        if state.unsent.len() >= UNSENT_MAX {
            state.unsent.pop_front();
        }
        state.unsent.push_back((digest, SENDS));
        self.has_unsent.store(true, Ordering::Release);
    }

    /// What to send along with an answer.
    pub(super) fn next_report(&self) -> Option<StateDigest> {
        if !self.has_unsent.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let (digest, sends) = state.unsent.pop_front()?;
        if sends > 1 {
            state.unsent.push_back((digest, sends - 1));
        }
        self.has_unsent.store(!state.unsent.is_empty(), Ordering::Release);
        Some(digest)
    }

    /// Another node has said what its state has come to.
    pub(super) fn hear(&self, from: NodeId, StateDigest { index, digest }: StateDigest) {
        let mut state = self.lock();
        if state.heard.insert((index, from), digest) == Some(digest) {
            return;
        }
        if state.heard.len() > HEARD_MAX {
            state.heard.pop_first();
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for digests of other nodes.
    pub(in crate::kv_raft) async fn heard(&self) {
        self.changed.notified().await;
    }

    /// The digests of other nodes that have come since the last call.
    pub(in crate::kv_raft) fn take_heard(&self) -> BTreeMap<(Index, NodeId), u32> {
        std::mem::take(&mut self.lock().heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sent_with_some_answers_and_what_waits_is_bounded() {
        let digests = Digests::default();
        assert_eq!(digests.next_report(), None);
        let digest = |index| StateDigest { index, digest: 7 };
        (0..20).for_each(|index| digests.report(digest(index)));
        let sent: Vec<_> = std::iter::from_fn(|| digests.next_report()).collect();
        assert_eq!(sent.len(), UNSENT_MAX * SENDS as usize);
        assert!(sent.iter().all(|it| it.index >= 12));
        for index in 0..1_000 {
            digests.hear(2, digest(index));
        }
        let heard = digests.take_heard();
        assert_eq!((heard.len(), heard.last_key_value()), (HEARD_MAX, Some((&(999, 2), &7))));
        assert!(digests.take_heard().is_empty());
    }
}

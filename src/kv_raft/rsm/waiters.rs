//! Who waits for a command to be applied. Nobody waits for ever, and nobody who has left is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::services::raft::Term;
use crate::services::rsm::ReplyErr;

/// How many commands may wait.
const WAITERS_MAX: usize = 65_536;

/// What becomes of a command that somebody waits for.
pub(super) type Outcome = Result<Box<RawValue>, ReplyErr>;

/// Those who wait, by the id of their entry.
#[derive(Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    by_id: BTreeMap<u64, Waiter>,
    /// Nobody may begin to wait any more.
    closed: bool,
}

struct Waiter {
    /// The term of the entry, once it is known.
    term: Option<Term>,
    tell: oneshot::Sender<Outcome>,
}

/// The place of one who waits; who drops it has left.
pub(super) struct Place {
    waiters: Waiters,
    id: u64,
    told: oneshot::Receiver<Outcome>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The node is stopping.
    Closed,
    /// Too many wait.
    Full,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock is half done when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place before the entry can possibly be applied.
    pub(super) fn enter(&self, id: u64) -> Result<Place, NoPlace> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoPlace::Closed);
        }
        if state.by_id.len() >= WAITERS_MAX {
            return Err(NoPlace::Full);
        }
        let (tell, told) = oneshot::channel();
        state.by_id.insert(id, Waiter { term: None, tell });
        Ok(Place { waiters: self.clone(), id, told })
    }

    /// The entry with this id has got this term.
    pub(super) fn entry_has_term(&self, id: u64, term: Term) {
        if let Some(waiter) = self.lock().by_id.get_mut(&id) {
            waiter.term = Some(term);
        }
    }

    /// Tells the one who waits for the entry with this id, if anybody does, what became of it.
    pub(super) fn tell(&self, id: u64, outcome: impl FnOnce() -> Outcome) {
        let waiter = self.lock().by_id.remove(&id);
        if let Some(waiter) = waiter {
            // It may leave at this moment.
            let _left = waiter.tell.send(outcome());
        }
    }

    /// This node does not lead in this term any more: whoever waits for an entry of it or of an earlier one cannot
    /// be told what becomes of it.
    pub(super) fn end_up_to(&self, term: Term, why: &ReplyErr) {
        let ended: Vec<_> = {
            let mut state = self.lock();
            let is_over = |_: &u64, waiter: &mut Waiter| waiter.term.is_some_and(|it| it <= term);
            state.by_id.extract_if(.., is_over).collect()
        };
        for (_, waiter) in ended {
            let _left = waiter.tell.send(Err(why.clone()));
        }
    }

    /// Ends all who wait, and lets nobody in any more.
    pub(super) fn close(&self, why: &ReplyErr) {
        let ended = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.by_id)
        };
        for (_, waiter) in ended {
            let _left = waiter.tell.send(Err(why.clone()));
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }
}

impl Place {
    /// Waits for what becomes of the entry; nothing when the node has ended.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiters.lock().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> ReplyErr {
        ReplyErr::WrongLeader { leader: None, submitted: true }
    }

    #[tokio::test]
    async fn whoever_waits_is_told_or_leaves_and_nobody_stays() {
        let waiters = Waiters::default();
        let (mut one, mut two, three) =
            (waiters.enter(1).unwrap(), waiters.enter(2).unwrap(), waiters.enter(3).unwrap());
        waiters.entry_has_term(1, 4);
        waiters.entry_has_term(2, 5);
        waiters.end_up_to(4, &lost());
        assert_eq!(one.outcome().await.unwrap().unwrap_err(), lost());
        waiters.tell(2, || Ok(RawValue::from_string("7".into()).unwrap()));
        assert_eq!(two.outcome().await.unwrap().unwrap().get(), "7");
        drop(three);
        assert_eq!(waiters.len(), 0);
        let mut four = waiters.enter(4).unwrap();
        waiters.close(&lost());
        assert_eq!(four.outcome().await.unwrap().unwrap_err(), lost());
        assert_eq!(waiters.enter(5).err(), Some(NoPlace::Closed));
    }
}

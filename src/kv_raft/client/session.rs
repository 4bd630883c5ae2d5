//! The session of a client: which commands of it are under way.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::services::rsm::Ticket;

/// The session that puts use now, if one has begun.
#[derive(Default)]
pub(super) struct Sessions {
    current: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Sessions {
    /// The session. Whoever finds none begins one, while the others wait.
    pub(super) async fn current(&self) -> tokio::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.current.lock().await
    }

    /// The servers know this session no more.
    pub(super) async fn end(&self, ended: &Arc<Session>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|session| Arc::ptr_eq(session, ended)) {
            *current = None;
        }
    }
}

/// A session.
pub(super) struct Session {
    id: u64,
    numbers: Mutex<Numbers>,
}

struct Numbers {
    next: u64,
    /// The numbers of the commands that have no reply yet.
    unanswered: BTreeSet<u64>,
}

impl Session {
    pub(super) fn new(id: u64) -> Arc<Self> {
        let numbers = Numbers { next: 1, unanswered: BTreeSet::new() };
        Arc::new(Self { id, numbers: Mutex::new(numbers) })
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ticket of the next command.
    pub(super) fn ticket(self: &Arc<Self>) -> OpenTicket {
        let mut numbers = self.numbers();
        let number = numbers.next;
        numbers.next += 1;
        numbers.unanswered.insert(number);
        let answered_below = numbers.unanswered.first().copied().unwrap_or(number);
        drop(numbers);
        OpenTicket { ticket: Ticket { session: self.id, number, answered_below }, session: self.clone() }
    }
}

/// The ticket of a command that is under way; dropped when its reply is there, or not wanted any more.
pub(super) struct OpenTicket {
    ticket: Ticket,
    session: Arc<Session>,
}

impl Deref for OpenTicket {
    type Target = Ticket;

    fn deref(&self) -> &Ticket {
        &self.ticket
    }
}

impl Drop for OpenTicket {
    fn drop(&mut self) {
        self.session.numbers().unanswered.remove(&self.ticket.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_says_which_replies_have_come() {
        let session = Session::new(9);
        let (one, two) = (session.ticket(), session.ticket());
        assert_eq!((one.number, two.number, two.answered_below), (1, 2, 1));
        drop(one);
        assert_eq!(session.ticket().answered_below, 2);
        drop(two);
        assert_eq!(session.ticket().answered_below, 4);
    }
}

//! Who has sent what, so that a command which comes twice takes effect once (Raft dissertation, 6.3). A part of the
//! replicated state: the same on all nodes at the same index.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::services::raft::Index;
use crate::services::rsm::Ticket;

/// How many sessions are remembered: of more, the one that was used least lately ends.
const SESSIONS_MAX: usize = 10_000;

/// How many replies are kept of one session.
const REPLIES_MAX: usize = 4_096;

/// The sessions.
///
/// Invariant: `by_use` has each session once, with its `last_used`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sessions {
    by_id: BTreeMap<u64, Session>,
    by_use: BTreeSet<(Index, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Session {
    /// The index of the last entry that used it.
    last_used: Index,
    /// Nobody asks for the replies below this number any more.
    answered_below: u64,
    /// The replies by number.
    replies: BTreeMap<u64, String>,
}

/// What to do with a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is new.
    Run,
    /// It has been done, with this reply.
    Done(String),
    /// The session has ended, or never began.
    NoSession,
    /// The client has not said for too long which replies it has.
    TooManyUnanswered,
}

impl Sessions {
    /// Begins the session that the entry at `index` asks for.
    pub(super) fn open(&mut self, index: Index) {
        if self.by_id.len() >= SESSIONS_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(index, Session { last_used: index, answered_below: 1, replies: BTreeMap::new() });
        self.by_use.insert((index, index));
    }

    /// What to do with the command of `ticket`, in the entry at `index`.
    pub(super) fn check(&mut self, ticket: &Ticket, index: Index) -> Verdict {
        let Some(session) = self.by_id.get_mut(&ticket.session) else { return Verdict::NoSession };
        self.by_use.remove(&(session.last_used, ticket.session));
        session.last_used = index;
        self.by_use.insert((index, ticket.session));
        if ticket.answered_below > session.answered_below {
            session.answered_below = ticket.answered_below;
            while let Some(first) = session.replies.first_entry()
                && *first.key() < ticket.answered_below
            {
                first.remove();
            }
        }
        if let Some(reply) = session.replies.get(&ticket.number) {
            return Verdict::Done(reply.clone());
        }
        if ticket.number < session.answered_below {
            // A late copy of what the client has forgotten already: its reply interests nobody.
            return Verdict::NoSession;
        }
        if session.replies.len() >= REPLIES_MAX { Verdict::TooManyUnanswered } else { Verdict::Run }
    }

    /// Keeps the reply of a command that was run.
    pub(super) fn keep(&mut self, ticket: &Ticket, reply: &str) {
        if let Some(session) = self.by_id.get_mut(&ticket.session) {
            session.replies.insert(ticket.number, reply.to_owned());
        }
    }
}

impl Serialize for Sessions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.by_id)
    }
}

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_id: BTreeMap<u64, Session> =
            Vec::<(u64, Session)>::deserialize(deserializer)?.into_iter().collect();
        let by_use = by_id.iter().map(|(id, session)| (session.last_used, *id)).collect();
        Ok(Self { by_id, by_use })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(session: u64, number: u64, answered_below: u64) -> Ticket {
        Ticket { session, number, answered_below }
    }

    #[test]
    fn a_command_is_run_once_and_its_reply_kept_until_the_client_has_it() {
        let mut sessions = Sessions::default();
        sessions.open(5);
        assert_eq!(sessions.check(&ticket(5, 1, 1), 6), Verdict::Run);
        sessions.keep(&ticket(5, 1, 1), "one");
        assert_eq!(sessions.check(&ticket(5, 1, 1), 7), Verdict::Done("one".into()));
        assert_eq!(sessions.check(&ticket(5, 2, 2), 8), Verdict::Run);
        // A copy that comes after the client said that it has the reply is not run again.
        assert_eq!(sessions.check(&ticket(5, 1, 1), 9), Verdict::NoSession);
        assert_eq!(sessions.check(&ticket(4, 1, 1), 9), Verdict::NoSession);
    }

    #[test]
    fn what_is_kept_of_a_session_is_bounded() {
        let mut sessions = Sessions::default();
        sessions.open(1);
        for number in 1..=REPLIES_MAX as u64 {
            assert_eq!(sessions.check(&ticket(1, number, 1), 2), Verdict::Run);
            sessions.keep(&ticket(1, number, 1), "");
        }
        let next = REPLIES_MAX as u64 + 1;
        assert_eq!(sessions.check(&ticket(1, next, 1), 3), Verdict::TooManyUnanswered);
        assert_eq!(sessions.check(&ticket(1, next, next), 4), Verdict::Run);
    }

    #[test]
    fn of_too_many_sessions_the_one_unused_for_longest_ends() {
        let mut sessions = Sessions::default();
        let count = SESSIONS_MAX as u64;
        (1..=count).for_each(|index| sessions.open(index));
        // The first one is used, so the second one is the oldest.
        assert_eq!(sessions.check(&ticket(1, 1, 1), count + 1), Verdict::Run);
        sessions.open(count + 2);
        assert_eq!(sessions.check(&ticket(1, 1, 1), count + 3), Verdict::Run);
        assert_eq!(sessions.check(&ticket(2, 1, 1), count + 3), Verdict::NoSession);
        assert_eq!(sessions.by_id.len(), SESSIONS_MAX);
        let copy: Sessions = serde_json::from_str(&serde_json::to_string(&sessions).unwrap()).unwrap();
        assert_eq!(copy, sessions);
    }
}

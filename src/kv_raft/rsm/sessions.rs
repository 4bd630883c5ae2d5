//! Who has sent what, so that a command which comes twice takes effect once (Raft dissertation, 6.3). A part of the
//! replicated state: the same on all nodes at the same index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::services::raft::Index;
use crate::services::rsm::Ticket;

/// How many sessions are remembered. To open more ends others; see [`Sessions::make_room`].
const SESSIONS_MAX: usize = 10_000;

/// How many replies are kept of one session.
const REPLIES_MAX: usize = 4_096;

/// How many bytes the replies of all sessions may take, with [`REPLY_OVERHEAD`] for each.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// About how many bytes a kept reply takes beside its text.
const REPLY_OVERHEAD: usize = 64;

/// Up to how many sessions of one client are protected from those that open many; see [`Sessions::make_room`].
const PROTECTED_PER_CLIENT: usize = 32;

/// The sessions.
///
/// Invariants:
/// - Everything else follows from `by_id`.
/// - `by_id` has at most [`SESSIONS_MAX`] sessions.
/// - `protected` and `exposed` have each session once, by when it was used last or by a time before that: only
///   [`Sessions::least_used`] needs the order, and brings it up to date.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    /// The sessions by the index of the entry that opened them, which is what tickets in the log name.
    by_id: BTreeMap<Index, Session>,
    /// The sessions of each client.
    owners: BTreeMap<u64, BTreeSet<Index>>,
    /// The sessions that commands have used, of clients that have at most [`PROTECTED_PER_CLIENT`].
    protected: BTreeSet<(Index, Index)>,
    /// All others.
    exposed: BTreeSet<(Index, Index)>,
    reply_bytes: usize,
    names: SessionNames,
}

/// The sessions by the names that clients know them by. A name is random, so that nobody can use a session that is not
/// theirs. The log does not contain it in tickets: a node looks it up when it takes a command.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionNames(Arc<Mutex<BTreeMap<u64, Index>>>);

impl SessionNames {
    /// The session with this name.
    pub(super) fn find(&self, name: u64) -> Option<Index> {
        self.lock().get(&name).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Index>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "SavedSession", into = "SavedSession")]
struct Session {
    /// The index of the last entry that used it; that of the entry that opened it if none has.
    last_used: Index,
    /// Where it stands in `protected` or `exposed`: at most `last_used`.
    placed_at: Index,
    /// Nobody asks for the replies below this number any more.
    answered_below: u64,
    /// The replies by number.
    replies: BTreeMap<u64, Kept>,
    /// The client that opened it, as a hash of what it calls itself.
    owner: u64,
    /// The name that the client knows it by; the index where an older version opened it.
    name: Option<u64>,
    /// What `replies` take; see [`reply_cost`].
    reply_bytes: usize,
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    reply: String,
    /// The CRC-32 of the command; unknown in snapshots of earlier versions.
    command: Option<u32>,
}

/// A session in a snapshot.
#[derive(Serialize, Deserialize)]
struct SavedSession {
    last_used: Index,
    answered_below: u64,
    replies: BTreeMap<u64, String>,
    /// The CRC-32 of the commands that `replies` answer. The names of these fields are short since a snapshot has thousands
    /// of them.
    #[serde(default, rename = "c", skip_serializing_if = "BTreeMap::is_empty")]
    commands: BTreeMap<u64, u32>,
    #[serde(default, rename = "o")]
    owner: u64,
    #[serde(default, rename = "n")]
    name: Option<u64>,
}

impl From<SavedSession> for Session {
    fn from(saved: SavedSession) -> Self {
        let SavedSession { last_used, answered_below, replies, commands, owner, name } = saved;
        let reply_bytes = replies.values().map(|reply| reply_cost(reply)).sum();
        let kept = |(number, reply)| (number, Kept { reply, command: commands.get(&number).copied() });
        let replies = replies.into_iter().map(kept).collect();
        Self { last_used, placed_at: last_used, answered_below, replies, owner, name, reply_bytes }
    }
}

impl From<Session> for SavedSession {
    fn from(session: Session) -> Self {
        let Session { last_used, answered_below, replies, owner, name, .. } = session;
        let commands = replies.iter().filter_map(|(number, kept)| Some((*number, kept.command?))).collect();
        let replies = replies.into_iter().map(|(number, kept)| (number, kept.reply)).collect();
        Self { last_used, answered_below, replies, commands, owner, name }
    }
}

/// How a session is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// The client, as a hash of what it calls itself.
    pub(super) owner: u64,
    /// The name of the session; the index of the entry where there is none.
    pub(super) name: Option<u64>,
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
    /// Another command of the session has had this number.
    NumberTaken,
}

impl Session {
    fn name(&self, id: Index) -> u64 {
        self.name.unwrap_or(id)
    }
}

fn reply_cost(reply: &str) -> usize {
    reply.len() + REPLY_OVERHEAD
}

impl Sessions {
    /// Begins the session that the entry at `index` asks for. The name that its client knows it by is the result.
    pub(super) fn open(&mut self, index: Index, opening: Opening) -> u64 {
        if self.by_id.len() >= SESSIONS_MAX {
            self.make_room();
        }
        let Opening { owner, name } = opening;
        let session = Session {
            last_used: index,
            placed_at: index,
            answered_below: 1,
            owner,
            name,
            ..Session::default()
        };
        let name = session.name(index);
        self.add(index, session);
        name
    }

    /// Ends the session that was used least lately. Those that are in use by clients with few of them end last, so that
    /// nobody can end the sessions of others by opening many. An unused session is not worth that: its client opens
    /// another one.
    fn make_room(&mut self) {
        if let Some(id) = self.least_used() {
            self.end(id);
        }
    }

    /// The session that was used least lately of those that end first.
    fn least_used(&mut self) -> Option<Index> {
        loop {
            let (placed_at, id) = self.exposed.first().or_else(|| self.protected.first()).copied()?;
            // Every other place is later, and no session was used before its place.
            if self.by_id.get(&id).is_none_or(|session| session.last_used == placed_at) {
                return Some(id);
            }
            self.place(id);
        }
    }

    fn add(&mut self, id: Index, session: Session) {
        self.reply_bytes += session.reply_bytes;
        self.names.lock().insert(session.name(id), id);
        let owner = session.owner;
        self.by_id.insert(id, session);
        let owned = self.owners.entry(owner).or_default();
        owned.insert(id);
        let crosses = owned.len() == PROTECTED_PER_CLIENT + 1;
        self.place(id);
        if crosses {
            self.place_all(owner);
        }
    }

    fn end(&mut self, id: Index) {
        let Some(session) = self.by_id.remove(&id) else { return };
        self.names.lock().remove(&session.name(id));
        self.reply_bytes -= session.reply_bytes;
        self.protected.remove(&(session.placed_at, id));
        self.exposed.remove(&(session.placed_at, id));
        let Some(owned) = self.owners.get_mut(&session.owner) else { return };
        owned.remove(&id);
        match owned.len() {
            0 => drop(self.owners.remove(&session.owner)),
            PROTECTED_PER_CLIENT => self.place_all(session.owner),
            _ => {}
        }
    }

    /// Puts a session where it belongs: among the protected ones or the exposed ones, by its last use.
    fn place(&mut self, id: Index) {
        let Some(session) = self.by_id.get_mut(&id) else { return };
        let before = (std::mem::replace(&mut session.placed_at, session.last_used), id);
        self.exposed.remove(&before);
        self.protected.remove(&before);
        let owned = self.owners.get(&session.owner).map_or(0, BTreeSet::len);
        let is_protected = session.last_used > id && owned <= PROTECTED_PER_CLIENT;
        let places = if is_protected { &mut self.protected } else { &mut self.exposed };
        places.insert((session.last_used, id));
    }

    /// The same for all sessions of a client.
    fn place_all(&mut self, owner: u64) {
        let owned = self.owners.get(&owner).cloned().unwrap_or_default();
        owned.into_iter().for_each(|id| self.place(id));
    }

    /// What to do with the command of `ticket`, in the entry at `index`.
    pub(super) fn check(&mut self, ticket: &Ticket, index: Index, command: &str) -> Verdict {
        let id = ticket.session;
        let Some(session) = self.by_id.get_mut(&id) else { return Verdict::NoSession };
        let is_first_use = std::mem::replace(&mut session.last_used, index) == id;
        if ticket.answered_below > session.answered_below {
            session.answered_below = ticket.answered_below;
            while let Some(first) = session.replies.first_entry()
                && *first.key() < ticket.answered_below
            {
                let freed = reply_cost(&first.remove().reply);
                session.reply_bytes -= freed;
                self.reply_bytes -= freed;
            }
        }
        let verdict = match session.replies.get(&ticket.number) {
            Some(Kept { reply, command: known }) => {
                let is_other = known.is_some_and(|known| known != crc32fast::hash(command.as_bytes()));
                if is_other { Verdict::NumberTaken } else { Verdict::Done(reply.clone()) }
            }
            // A late copy of what the client has forgotten already: its reply interests nobody.
            None if ticket.number < session.answered_below => Verdict::NoSession,
            None if session.replies.len() >= REPLIES_MAX => Verdict::TooManyUnanswered,
            None => Verdict::Run,
        };
        if is_first_use {
            // From now on it is protected.
            self.place(id);
        }
        if verdict == Verdict::Run && !self.has_space_for_reply(id) {
            return Verdict::TooManyUnanswered;
        }
        verdict
    }

    /// Whether another reply of a session can be kept. Where there are too many bytes of replies, the session that has
    /// most of them ends; if it is this one, it gets no more space.
    fn has_space_for_reply(&mut self, id: Index) -> bool {
        while self.reply_bytes >= REPLY_BYTES_MAX {
            let largest = self.by_id.iter().max_by_key(|(_, session)| session.reply_bytes);
            match largest.map(|(largest, _)| *largest) {
                Some(largest) if largest != id => self.end(largest),
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Keeps the reply of a command that was run.
    pub(super) fn keep(&mut self, ticket: &Ticket, command: &str, reply: &str) {
        if let Some(session) = self.by_id.get_mut(&ticket.session) {
            session.reply_bytes += reply_cost(reply);
            self.reply_bytes += reply_cost(reply);
            let command = Some(crc32fast::hash(command.as_bytes()));
            session.replies.insert(ticket.number, Kept { reply: reply.to_owned(), command });
        }
    }

    /// The names of the sessions, now and later.
    pub(super) fn names(&self) -> SessionNames {
        self.names.clone()
    }

    /// Takes the place of `before`: whoever has its names has those of these sessions from then on.
    pub(super) fn replace(mut self, before: &mut Self) {
        let names = std::mem::take(&mut *self.names.lock());
        self.names = before.names();
        *self.names.lock() = names;
        *before = self;
    }
}

impl Serialize for Sessions {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.by_id)
    }
}

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_id: BTreeMap<Index, Session> =
            Vec::<(Index, Session)>::deserialize(deserializer)?.into_iter().collect();
        let mut sessions = Self::default();
        by_id.into_iter().for_each(|(id, session)| sessions.add(id, session));
        Ok(sessions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two are the same if what is replicated is: everything but the names, which follow from the rest, and places that are
    /// out of date.
    impl PartialEq for Sessions {
        fn eq(&self, other: &Self) -> bool {
            let parts = |sessions: &Self| {
                let mut all = sessions.clone();
                sessions.by_id.keys().for_each(|id| all.place(*id));
                (all.by_id, all.owners, all.protected, all.exposed, all.reply_bytes)
            };
            parts(self) == parts(other)
        }
    }

    fn ticket(session: u64, number: u64, answered_below: u64) -> Ticket {
        Ticket { session, number, answered_below }
    }

    fn by(owner: u64) -> Opening {
        Opening { owner, name: None }
    }

    /// Runs a command of a session, as a replica does.
    fn run(sessions: &mut Sessions, ticket: &Ticket, index: Index, command: &str) -> Verdict {
        let verdict = sessions.check(ticket, index, command);
        if verdict == Verdict::Run {
            sessions.keep(ticket, command, command);
        }
        verdict
    }

    fn copy(sessions: &Sessions) -> Sessions {
        serde_json::from_str(&serde_json::to_string(sessions).unwrap()).unwrap()
    }

    #[test]
    fn a_command_is_run_once_and_its_reply_kept_until_the_client_has_it() {
        let mut sessions = Sessions::default();
        sessions.open(5, by(1));
        assert_eq!(sessions.check(&ticket(5, 1, 1), 6, "a"), Verdict::Run);
        sessions.keep(&ticket(5, 1, 1), "a", "one");
        assert_eq!(sessions.check(&ticket(5, 1, 1), 7, "a"), Verdict::Done("one".into()));
        assert_eq!(sessions.check(&ticket(5, 1, 1), 7, "b"), Verdict::NumberTaken);
        assert_eq!(sessions.check(&ticket(5, 2, 2), 8, "c"), Verdict::Run);
        // A copy that comes after the client said that it has the reply is not run again.
        assert_eq!(sessions.check(&ticket(5, 1, 1), 9, "a"), Verdict::NoSession);
        assert_eq!(sessions.check(&ticket(4, 1, 1), 9, "a"), Verdict::NoSession);
    }

    #[test]
    fn what_is_kept_of_a_session_is_bounded() {
        let mut sessions = Sessions::default();
        sessions.open(1, by(1));
        for number in 1..=REPLIES_MAX as u64 {
            assert_eq!(run(&mut sessions, &ticket(1, number, 1), 2, ""), Verdict::Run);
        }
        let next = REPLIES_MAX as u64 + 1;
        assert_eq!(sessions.check(&ticket(1, next, 1), 3, ""), Verdict::TooManyUnanswered);
        assert_eq!(sessions.check(&ticket(1, next, next), 4, ""), Verdict::Run);
        assert_eq!(sessions.reply_bytes, 0);
    }

    /// However many clients there are, their replies take a bounded number of bytes, and the session that has most of
    /// them pays.
    #[test]
    fn what_is_kept_of_all_sessions_is_bounded() {
        let mut sessions = Sessions::default();
        let long = "x".repeat(1 << 20);
        sessions.open(1, by(1));
        assert_eq!(run(&mut sessions, &ticket(1, 1, 1), 2, "small"), Verdict::Run);
        sessions.open(3, by(2));
        for number in 1..200 {
            let _ = run(&mut sessions, &ticket(3, number, 1), 3 + number, &long);
            assert!(sessions.reply_bytes < REPLY_BYTES_MAX + 2 * long.len());
        }
        assert_eq!(sessions.check(&ticket(3, 500, 1), 900, "more"), Verdict::TooManyUnanswered);
        // Another client still gets space: the session that has most ends.
        sessions.open(1_000, by(3));
        assert_eq!(run(&mut sessions, &ticket(1_000, 1, 1), 1_001, &long), Verdict::Run);
        assert_eq!(sessions.check(&ticket(3, 1, 1), 1_002, &long), Verdict::NoSession);
        assert_eq!(sessions.check(&ticket(1, 1, 1), 1_003, "small"), Verdict::Done("small".into()));
    }

    #[test]
    fn of_too_many_sessions_the_one_unused_for_longest_ends() {
        let mut sessions = Sessions::default();
        let count = SESSIONS_MAX as u64;
        for index in 1..=count {
            sessions.open(index, by(1));
            let _ = run(&mut sessions, &ticket(index, 1, 1), count + index, "");
        }
        // The first one is used, so the second one is the oldest.
        assert_eq!(run(&mut sessions, &ticket(1, 2, 1), 3 * count, ""), Verdict::Run);
        sessions.open(3 * count + 1, by(2));
        assert_eq!(run(&mut sessions, &ticket(1, 3, 1), 3 * count + 2, ""), Verdict::Run);
        assert_eq!(sessions.check(&ticket(2, 1, 1), 3 * count + 3, ""), Verdict::NoSession);
        assert_eq!(sessions.by_id.len(), SESSIONS_MAX);
        assert_eq!(copy(&sessions), sessions);
    }

    /// Whether it names itself or another client each time, and whether it uses what it opens: who opens many sessions
    /// does not end those that others use.
    #[test]
    fn a_flood_of_sessions_does_not_end_those_of_others() {
        for (owners, uses) in [(1, false), (1, true), (7, true), (u64::MAX, false)] {
            let mut sessions = Sessions::default();
            for client in 0..50 {
                sessions.open(1 + client, by(1_000_000_000 + client));
                assert_eq!(run(&mut sessions, &ticket(1 + client, 1, 1), 100 + client, "put"), Verdict::Run);
            }
            for index in 1_000..41_000 {
                sessions.open(index, by(index % owners));
                if uses {
                    let _ = run(&mut sessions, &ticket(index, 1, 1), 100_000 + index, "put");
                }
            }
            for client in 0..50 {
                let again = sessions.check(&ticket(1 + client, 1, 1), 200_000 + client, "put");
                assert_eq!(again, Verdict::Done("put".into()), "{owners} owners, {uses}");
            }
            assert!(sessions.by_id.len() <= SESSIONS_MAX);
        }
    }

    /// A replica that was restored from a snapshot ends the same sessions as one that has seen every use of them.
    #[test]
    fn replicas_end_the_same_sessions() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut one = Sessions::default();
        let count = SESSIONS_MAX as u64;
        let mut index = 0;
        for _ in 0..count {
            index += 1;
            one.open(index, by(random.u64(..600)));
        }
        let mut two = Sessions::default();
        for round in 0..3 {
            for _ in 0..count {
                index += 1;
                let ticket = ticket(random.u64(1..index), index, index);
                let verdicts = [run(&mut one, &ticket, index, ""), run(&mut two, &ticket, index, "")];
                assert!(round == 0 || verdicts[0] == verdicts[1]);
            }
            copy(&one).replace(&mut two);
            for _ in 0..1_000 {
                index += 1;
                let opening = by(random.u64(..600));
                assert_eq!(one.open(index, opening), two.open(index, opening));
            }
            assert!(one.by_id.keys().eq(two.by_id.keys()), "round {round}");
            assert_eq!(one, two, "round {round}");
        }
    }

    /// A session is found by its random name, as long as it lives; one of before names by its index.
    #[test]
    fn a_session_has_a_name() {
        let mut sessions = Sessions::default();
        let names = sessions.names();
        assert_eq!(sessions.open(7, Opening { owner: 1, name: Some(u64::MAX - 3) }), u64::MAX - 3);
        assert_eq!(sessions.open(8, by(1)), 8);
        assert_eq!((names.find(u64::MAX - 3), names.find(7), names.find(8)), (Some(7), None, Some(8)));
        let mut restored = Sessions::default();
        let shared = restored.names();
        restored.open(1, by(3));
        copy(&sessions).replace(&mut restored);
        assert_eq!((shared.find(u64::MAX - 3), shared.find(8), shared.find(1)), (Some(7), Some(8), None));
        sessions.end(7);
        assert_eq!(names.find(u64::MAX - 3), None);
    }

    /// What a version wrote that had neither names nor owners.
    #[test]
    fn sessions_of_before_are_read() {
        let text = r#"[[3,{"last_used":9,"answered_below":2,"replies":{"2":"\"ok\""}}]]"#;
        let mut sessions: Sessions = serde_json::from_str(text).unwrap();
        assert_eq!(sessions.names().find(3), Some(3));
        assert_eq!(sessions.check(&ticket(3, 2, 1), 10, "any"), Verdict::Done("\"ok\"".into()));
        assert_eq!(sessions.check(&ticket(3, 3, 1), 11, "any"), Verdict::Run);
    }

    /// Random work on two replicas, one of which is restored from a snapshot now and then, against what each client
    /// knows: a command runs once, an acknowledged one was run, and both replicas say the same.
    #[test]
    fn random_clients_agree_with_a_model() {
        for seed in 0..20 {
            let mut lot = fastrand::Rng::with_seed(seed);
            let (mut one, mut two) = (Sessions::default(), Sessions::default());
            // The commands that ran, by session and number.
            let mut ran: BTreeMap<(u64, u64), String> = BTreeMap::new();
            let mut opened: Vec<u64> = Vec::new();
            for index in 1..3_000 {
                if opened.is_empty() || lot.u8(..8) == 0 {
                    let opening = by(lot.u64(..4));
                    assert_eq!(one.open(index, opening), two.open(index, opening));
                    opened.push(index);
                    continue;
                }
                let session = if lot.u8(..20) == 0 { lot.u64(..) } else { opened[lot.usize(..opened.len())] };
                let number = lot.u64(1..20);
                let ticket = ticket(session, number, lot.u64(1..=number));
                let command = format!("{}", lot.u8(..3));
                let verdict = run(&mut one, &ticket, index, &command);
                assert_eq!(run(&mut two, &ticket, index, &command), verdict, "seed {seed}");
                match verdict {
                    Verdict::Run => {
                        assert_eq!(ran.insert((session, number), command), None, "seed {seed}: ran twice");
                    }
                    Verdict::Done(reply) => assert_eq!(ran.get(&(session, number)), Some(&reply)),
                    Verdict::NumberTaken => assert_ne!(ran[&(session, number)], command),
                    Verdict::NoSession | Verdict::TooManyUnanswered => {}
                }
                if lot.u8(..200) == 0 {
                    copy(&one).replace(&mut two);
                }
                if index % 100 == 0 {
                    assert_eq!(one, two, "seed {seed}");
                }
            }
        }
    }
}

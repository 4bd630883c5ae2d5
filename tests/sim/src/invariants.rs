//! What must hold after every event. Each check looks at what the event has changed, never at whole logs, so that all of
//! them together cost little.

mod disks;
pub(crate) mod members;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use traitwire_kv::kv_raft::raft::core::{Core, Effects, Event, Op, ReadOutcome, Reply, Request, Role, Token};
use traitwire_kv::services::raft::{
    AppendEntriesReply, AppendOutcome, Entry, Index, InstallSnapshotReply, Membership, NodeId, Payload,
    SnapshotMeta, SnapshotProgress, Term,
};

use crate::machine::{CommandId, hash_text};
use crate::network::at;
use crate::shadow::Shadow;
use crate::violation::{Rule, Violation, ensure};
pub(crate) use members::Body;
use members::hash_membership;

/// What the world knows that no single node does.
pub(crate) struct Invariants {
    /// Everything that ever had a folder of its own, those whose folder is gone included.
    bodies: Vec<Watched>,
    /// By place: which of them the node there is.
    current: Vec<Body>,
    /// What is known of each cluster.
    books: [Book; 2],
    /// Whether the membership changes.
    with_changes: bool,
    applied: BTreeMap<CommandId, Index>,
    never: BTreeSet<CommandId>,
    /// What was committed when a read was asked for.
    reads: BTreeMap<Token, Index>,
}

/// What is known of a cluster.
#[derive(Default)]
struct Book {
    leaders: BTreeMap<Term, Body>,
    /// Whom a node has voted for in a term, as far as anybody was told.
    votes: BTreeMap<(Body, Term), Body>,
    /// By index: the entries that were ever there, one a term.
    entries: Vec<Vec<Seen>>,
    /// By index, from 1 on: what is committed.
    committed: Vec<Committed>,
    /// By index, from 1 on: what the state is after that entry.
    states: Vec<u64>,
    /// The memberships that are committed, with their indices, in order.
    memberships: Vec<(Index, Membership)>,
    /// The memberships that were appended after the last of those, by whomever.
    proposed: Vec<(Index, Membership)>,
    /// The membership by which the last entry was committed.
    deciders: Option<Membership>,
}

/// What is remembered of a node.
#[derive(Clone, Default)]
struct Watched {
    /// The cluster that it belongs to.
    cluster: usize,
    /// The index of the newest membership in its log; 0 for none.
    newest_membership: Index,
    term: Term,
    commit: Index,
    disk: Shadow,
    /// What the disk was given and has not synced.
    unsynced: Vec<Op>,
}

#[derive(Clone, Copy)]
struct Seen {
    term: Term,
    payload: u64,
    /// The term of the entry before.
    prev_term: Term,
}

#[derive(Clone, Copy)]
struct Committed {
    term: Term,
    payload: u64,
    /// The term of the leader that committed it.
    by_term: Term,
}

impl Invariants {
    pub(crate) fn new(nodes: u64, with_changes: bool) -> Self {
        Self {
            bodies: (0..nodes).map(|_| Watched::default()).collect(),
            current: (1..=nodes).map(at).collect(),
            books: [Book::default(), Book::default()],
            with_changes,
            applied: BTreeMap::new(),
            never: BTreeSet::new(),
            reads: BTreeMap::new(),
        }
    }

    /// How many entries of a cluster are committed.
    pub(crate) fn committed_index(&self, cluster: usize) -> Index {
        self.books[cluster].committed.len() as u64
    }

    fn book(&self, body: Body) -> &Book {
        &self.books[self.bodies[body].cluster]
    }

    fn book_mut(&mut self, body: Body) -> &mut Book {
        &mut self.books[self.bodies[body].cluster]
    }

    /// A node has taken a step.
    pub(crate) fn after_step(
        &mut self,
        place: NodeId,
        core: &Core,
        effects: &Effects,
    ) -> Result<(), Violation> {
        let (id, body) = (core.id(), self.current[at(place)]);
        let newest = self.bodies[body].newest_membership;
        self.check_progress(body, core)?;
        for op in effects.persist.iter().flat_map(|persist| &persist.ops) {
            self.note_op(body, core, op)?;
        }
        if self.with_changes {
            self.check_membership(body, core, effects)?;
        }
        for event in &effects.events {
            if let Event::State { role: Role::Leader, term, .. } = event {
                self.note_leader(body, core, newest, *term)?;
            }
        }
        for (_, request) in &effects.requests {
            // A candidate's request tells of its vote for itself.
            if let Request::Vote(args) = request {
                self.note_vote(body, args.term, body)?;
            }
        }
        for (token, outcome) in &effects.reads {
            if let (Some(floor), ReadOutcome::Ready(index)) = (self.reads.remove(token), outcome) {
                ensure(*index >= floor, Rule::FreshReads, || {
                    format!("node {id} serves a read at {index}; {floor} was committed when it was asked for")
                })?;
            }
        }
        Ok(())
    }

    fn check_progress(&mut self, body: Body, core: &Core) -> Result<(), Violation> {
        let (id, term, commit) = (core.id(), core.term(), core.commit_index());
        let watched = &mut self.bodies[body];
        ensure(term >= watched.term, Rule::NeverBack, || {
            format!("node {id} was in term {} and is in {term}", watched.term)
        })?;
        watched.term = term;
        ensure(commit >= watched.commit, Rule::NeverBack, || {
            format!("node {id} has committed up to {} and then up to {commit}", watched.commit)
        })?;
        ensure(commit <= core.last_index(), Rule::CommittedForEver, || {
            format!("node {id} has committed up to {commit} and its log ends at {}", core.last_index())
        })?;
        let news = watched.commit + 1..=commit;
        watched.commit = commit;
        let mut grew = false;
        for index in news {
            grew |= self.note_commit(body, core, index)?;
        }
        if grew { self.check_durable(self.bodies[body].cluster) } else { Ok(()) }
    }

    /// A node takes an entry as committed. Says whether it is the first to do so.
    fn note_commit(&mut self, body: Body, core: &Core, index: Index) -> Result<bool, Violation> {
        // What a snapshot has brought was compared when it was installed.
        let Some(entry) = core.entry(index) else { return Ok(false) };
        let found = Committed { term: entry.term, payload: hash_entry(entry), by_term: core.term() };
        let with_changes = self.with_changes;
        let newest = self.bodies[body].newest_membership;
        let book = self.book_mut(body);
        let Some(known) = book.committed.get(place(index)) else {
            assert_eq!(place(index), book.committed.len(), "entries are committed in order");
            book.committed.push(found);
            if with_changes {
                book.note_decision(core, newest, index, entry);
            }
            return Ok(true);
        };
        let same = (known.term, known.payload) == (found.term, found.payload);
        ensure(same, Rule::CommittedForEver, || {
            let id = core.id();
            format!(
                "entry {index} of term {} is committed; node {id} commits one of term {}",
                known.term, found.term
            )
        })?;
        Ok(false)
    }

    /// What is committed last is on a majority of disks, and so all before it.
    fn check_durable(&self, cluster: usize) -> Result<(), Violation> {
        let book = &self.books[cluster];
        let index = book.committed.len() as u64;
        let Some(Committed { term, .. }) = book.committed.last() else { return Ok(()) };
        if let Some(deciders) = &book.deciders {
            return self.check_quorum_of(deciders, index, *term);
        }
        let holders = self.bodies.iter().filter(|watched| watched.disk.has(index, *term)).count();
        ensure(2 * holders > self.bodies.len(), Rule::DurableQuorum, || {
            let nodes = self.bodies.len();
            format!("entry {index} of term {term} is committed and on {holders} of {nodes} disks")
        })
    }

    /// A node has begun to lead. The configuration that it went by until then comes from the entry `newest`.
    fn note_leader(&mut self, body: Body, core: &Core, newest: Index, term: Term) -> Result<(), Violation> {
        let id = core.id();
        let leader = *self.book_mut(body).leaders.entry(term).or_insert(body);
        ensure(leader == body, Rule::OneLeader, || {
            format!("nodes {} and {} both lead term {term}", leader + 1, body + 1)
        })?;
        self.note_vote(body, term, body)?;
        if self.with_changes {
            self.check_election(body, core, newest, term)?;
        }
        let committed = &self.book(body).committed;
        let index = committed.partition_point(|committed| committed.by_term < term) as u64;
        if index <= core.base_index() {
            return Ok(());
        }
        let needed = committed[place(index)].term;
        let has = core.entry(index).map(|entry| entry.term);
        ensure(has == Some(needed), Rule::LeaderCompleteness, || {
            format!(
                "node {id} leads term {term}; at {index}, where term {needed} is committed, it has {has:?}"
            )
        })
    }

    fn note_vote(&mut self, voter: Body, term: Term, vote: Body) -> Result<(), Violation> {
        let first = *self.book_mut(voter).votes.entry((voter, term)).or_insert(vote);
        ensure(first == vote, Rule::OneVote, || {
            let (voter, first, vote) = (voter + 1, first + 1, vote + 1);
            format!("node {voter} has voted for {first} in term {term}, and says that it votes for {vote}")
        })
    }

    /// A node answers another.
    pub(crate) fn on_answer(&mut self, from: NodeId, to: Body, reply: &Reply) -> Result<(), Violation> {
        let body = self.current[at(from)];
        let (term, acknowledged) = match reply {
            Reply::Vote(vote) if vote.granted => return self.note_vote(body, vote.term, to),
            Reply::Append(AppendEntriesReply { term, outcome: AppendOutcome::Matched(index), .. }) => {
                (*term, *index)
            }
            Reply::Snapshot(InstallSnapshotReply {
                term,
                last_index,
                progress: SnapshotProgress::Installed,
                ..
            }) => (*term, *last_index),
            Reply::Vote(_)
            | Reply::PreVote(_)
            | Reply::Append(_)
            | Reply::Snapshot(_)
            | Reply::TimeoutNow(_) => {
                return Ok(());
            }
        };
        let Watched { term: now, disk, .. } = &self.bodies[body];
        // A later leader may have removed what was acknowledged to an earlier one, if it was not committed.
        ensure(term < *now || disk.last_index() >= acknowledged, Rule::DurableAnswer, || {
            format!("node {from} acknowledges entry {acknowledged} to {}, and its disk has {disk}", to + 1)
        })
    }

    /// A node is to write something.
    fn note_op(&mut self, body: Body, core: &Core, op: &Op) -> Result<(), Violation> {
        match op {
            Op::Append { first, entries } => self.note_entries(body, core, *first, entries)?,
            Op::Install { snapshot, .. } => self.check_snapshot(body, core.id(), snapshot)?,
            Op::Vote { .. } | Op::Truncate(_) | Op::SnapshotPiece { .. } | Op::Compact { .. } => {}
        }
        let light = match op {
            // Only the metadata of pieces and entries is wanted later.
            Op::SnapshotPiece { .. } => return Ok(()),
            other => other.clone(),
        };
        if self.with_changes {
            self.bodies[body].follow_memberships(core, &light);
        }
        self.bodies[body].unsynced.push(light);
        Ok(())
    }

    fn note_entries(
        &mut self,
        body: Body,
        core: &Core,
        first: Index,
        entries: &[Entry],
    ) -> Result<(), Violation> {
        let mut prev_term = match core.entry(first - 1) {
            Some(entry) => entry.term,
            // The base of the log, which is committed.
            None => (first - 1)
                .checked_sub(1)
                .and_then(|at| self.book(body).committed.get(at as usize))
                .map_or(0, |it| it.term),
        };
        for (index, entry) in (first..).zip(entries) {
            let seen = Seen { term: entry.term, payload: hash_entry(entry), prev_term };
            self.note_entry(body, core.id(), index, seen)?;
            if self.with_changes {
                self.check_entry(body, core, index, entry)?;
            }
            prev_term = entry.term;
        }
        Ok(())
    }

    /// If each entry has one payload and one term before it, logs that share an entry share all before it.
    fn note_entry(&mut self, body: Body, id: NodeId, index: Index, entry: Seen) -> Result<(), Violation> {
        let entries = &mut self.book_mut(body).entries;
        if entries.len() <= place(index) {
            entries.resize(place(index) + 1, Vec::new());
        }
        let seen = &mut entries[place(index)];
        match seen.iter().find(|seen| seen.term == entry.term) {
            None => seen.push(entry),
            Some(seen) => {
                let same = (seen.payload, seen.prev_term) == (entry.payload, entry.prev_term);
                ensure(same, Rule::LogMatching, || {
                    format!(
                        "node {id} has an entry {index} of term {} that differs from another's",
                        entry.term
                    )
                })?;
            }
        }
        Ok(())
    }

    fn check_snapshot(&self, body: Body, id: NodeId, snapshot: &SnapshotMeta) -> Result<(), Violation> {
        let (index, term) = (snapshot.last_index, snapshot.last_term);
        let committed = self.book(body).committed.get(place(index)).map(|committed| committed.term);
        ensure(committed == Some(term), Rule::CommittedForEver, || {
            format!(
                "node {id} installs a snapshot of entry {index} of term {term}; committed is {committed:?}"
            )
        })?;
        self.book(body).check_snapshot(id, snapshot)
    }
}

fn place(index: Index) -> usize {
    usize::try_from(index).expect("logs fit in memory").wrapping_sub(1)
}

fn hash_entry(entry: &Entry) -> u64 {
    match &entry.payload {
        Payload::Blank => 1,
        Payload::Command(command) => hash_text(command.json()),
        Payload::Membership(membership) => hash_membership(membership),
    }
}

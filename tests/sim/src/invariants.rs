//! What must hold after every event. Each check looks at what the event has changed, never at whole logs, so that all of
//! them together cost little.

mod told;

use std::collections::{BTreeMap, BTreeSet};

use traitwire_kv::kv_raft::raft::core::{
    Core, Effects, Event, Op, ReadOutcome, Reply, Request, Restored, Role, Token,
};
use traitwire_kv::services::raft::{
    AppendEntriesReply, AppendOutcome, Entry, Index, InstallSnapshotReply, NodeId, Payload, SnapshotMeta,
    SnapshotProgress, Term,
};

use crate::machine::{CommandId, hash_text, mix};
use crate::network::at;
use crate::shadow::Shadow;
use crate::violation::{Rule, Violation, ensure};

/// What the world knows that no single node does.
pub(crate) struct Invariants {
    watched: Vec<Watched>,
    leaders: BTreeMap<Term, NodeId>,
    /// Whom a node has voted for in a term, as far as anybody was told.
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// By index: the entries that were ever there, one a term.
    entries: Vec<Vec<Seen>>,
    /// By index, from 1 on: what is committed.
    committed: Vec<Committed>,
    /// By index, from 1 on: what the state is after that entry.
    states: Vec<u64>,
    applied: BTreeMap<CommandId, Index>,
    never: BTreeSet<CommandId>,
    /// What was committed when a read was asked for.
    reads: BTreeMap<Token, Index>,
}

/// What is remembered of a node.
#[derive(Clone, Default)]
struct Watched {
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
    pub(crate) fn new(nodes: u64) -> Self {
        Self {
            watched: (0..nodes).map(|_| Watched::default()).collect(),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            entries: Vec::new(),
            committed: Vec::new(),
            states: Vec::new(),
            applied: BTreeMap::new(),
            never: BTreeSet::new(),
            reads: BTreeMap::new(),
        }
    }

    /// How many entries are committed.
    pub(crate) fn committed_index(&self) -> Index {
        self.committed.len() as u64
    }

    /// A node has taken a step.
    pub(crate) fn after_step(&mut self, core: &Core, effects: &Effects) -> Result<(), Violation> {
        let id = core.id();
        self.check_progress(core)?;
        for op in effects.persist.iter().flat_map(|persist| &persist.ops) {
            self.note_op(core, op)?;
        }
        for event in &effects.events {
            if let Event::State { role: Role::Leader, term, .. } = event {
                self.note_leader(core, *term)?;
            }
        }
        for (to, request) in &effects.requests {
            // A candidate's request tells of its vote for itself.
            if let Request::Vote(args) = request {
                self.note_vote(id, args.term, id, *to)?;
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

    fn check_progress(&mut self, core: &Core) -> Result<(), Violation> {
        let (id, term, commit) = (core.id(), core.term(), core.commit_index());
        let watched = &mut self.watched[at(id)];
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
            grew |= self.note_commit(core, index)?;
        }
        if grew { self.check_durable() } else { Ok(()) }
    }

    /// A node takes an entry as committed. Says whether it is the first to do so.
    fn note_commit(&mut self, core: &Core, index: Index) -> Result<bool, Violation> {
        // What a snapshot has brought was compared when it was installed.
        let Some(entry) = core.entry(index) else { return Ok(false) };
        let found = Committed { term: entry.term, payload: hash_entry(entry), by_term: core.term() };
        let Some(known) = self.committed.get(place(index)) else {
            assert_eq!(place(index), self.committed.len(), "entries are committed in order");
            self.committed.push(found);
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
    fn check_durable(&self) -> Result<(), Violation> {
        let index = self.committed_index();
        let Some(Committed { term, .. }) = self.committed.last() else { return Ok(()) };
        let holders = self.watched.iter().filter(|watched| watched.disk.has(index, *term)).count();
        ensure(2 * holders > self.watched.len(), Rule::DurableQuorum, || {
            let nodes = self.watched.len();
            format!("entry {index} of term {term} is committed and on {holders} of {nodes} disks")
        })
    }

    fn note_leader(&mut self, core: &Core, term: Term) -> Result<(), Violation> {
        let id = core.id();
        let leader = *self.leaders.entry(term).or_insert(id);
        ensure(leader == id, Rule::OneLeader, || format!("nodes {leader} and {id} both lead term {term}"))?;
        self.note_vote(id, term, id, id)?;
        let index = self.committed.partition_point(|committed| committed.by_term < term) as u64;
        if index <= core.base_index() {
            return Ok(());
        }
        let needed = self.committed[place(index)].term;
        let has = core.entry(index).map(|entry| entry.term);
        ensure(has == Some(needed), Rule::LeaderCompleteness, || {
            format!(
                "node {id} leads term {term}; at {index}, where term {needed} is committed, it has {has:?}"
            )
        })
    }

    fn note_vote(&mut self, voter: NodeId, term: Term, vote: NodeId, told: NodeId) -> Result<(), Violation> {
        let first = *self.votes.entry((voter, term)).or_insert(vote);
        ensure(first == vote, Rule::OneVote, || {
            format!(
                "node {voter} has voted for {first} in term {term}, and tells {told} that it votes for {vote}"
            )
        })
    }

    /// A node answers another.
    pub(crate) fn on_answer(&mut self, from: NodeId, to: NodeId, reply: &Reply) -> Result<(), Violation> {
        let (term, acknowledged) = match reply {
            Reply::Vote(vote) if vote.granted => return self.note_vote(from, vote.term, to, to),
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
        let Watched { term: now, disk, .. } = &self.watched[at(from)];
        // A later leader may have removed what was acknowledged to an earlier one, if it was not committed.
        ensure(term < *now || disk.last_index() >= acknowledged, Rule::DurableAnswer, || {
            format!("node {from} acknowledges entry {acknowledged} to {to}, and its disk has {disk}")
        })
    }

    /// A node is to write something.
    fn note_op(&mut self, core: &Core, op: &Op) -> Result<(), Violation> {
        match op {
            Op::Append { first, entries } => self.note_entries(core, *first, entries)?,
            Op::Install { snapshot, .. } => self.check_snapshot(core.id(), snapshot)?,
            Op::Vote { .. } | Op::Truncate(_) | Op::SnapshotPiece { .. } | Op::Compact { .. } => {}
        }
        let light = match op {
            // Only the metadata of pieces and entries is wanted later.
            Op::SnapshotPiece { .. } => return Ok(()),
            other => other.clone(),
        };
        self.watched[at(core.id())].unsynced.push(light);
        Ok(())
    }

    fn note_entries(&mut self, core: &Core, first: Index, entries: &[Entry]) -> Result<(), Violation> {
        let mut prev_term = match core.entry(first - 1) {
            Some(entry) => entry.term,
            // The base of the log, which is committed.
            None => (first - 1)
                .checked_sub(1)
                .and_then(|at| self.committed.get(at as usize))
                .map_or(0, |it| it.term),
        };
        for (index, entry) in (first..).zip(entries) {
            let seen = Seen { term: entry.term, payload: hash_entry(entry), prev_term };
            self.note_entry(core.id(), index, seen)?;
            prev_term = entry.term;
        }
        Ok(())
    }

    /// If each entry has one payload and one term before it, logs that share an entry share all before it.
    fn note_entry(&mut self, id: NodeId, index: Index, entry: Seen) -> Result<(), Violation> {
        if self.entries.len() <= place(index) {
            self.entries.resize(place(index) + 1, Vec::new());
        }
        let seen = &mut self.entries[place(index)];
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

    fn check_snapshot(&self, id: NodeId, snapshot: &SnapshotMeta) -> Result<(), Violation> {
        let (index, term) = (snapshot.last_index, snapshot.last_term);
        let committed = self.committed.get(place(index)).map(|committed| committed.term);
        ensure(committed == Some(term), Rule::CommittedForEver, || {
            format!(
                "node {id} installs a snapshot of entry {index} of term {term}; committed is {committed:?}"
            )
        })
    }

    /// The oldest of a node's changes, so many operations of them, are synced.
    pub(crate) fn on_synced(&mut self, id: NodeId, ops: usize) -> Result<(), Violation> {
        let Watched { disk, unsynced, .. } = &mut self.watched[at(id)];
        let mut shrank = false;
        for op in unsynced.drain(..ops) {
            let last_index = disk.last_index();
            disk.apply(&op);
            shrank |= disk.last_index() < last_index || matches!(op, Op::Truncate(_) | Op::Install { .. });
        }
        if shrank { self.check_durable() } else { Ok(()) }
    }

    /// A node starts with what it has found on its disk: what was synced and a part, from the beginning, of the rest.
    pub(crate) fn on_restart(&mut self, id: NodeId, restored: &Restored) -> Result<(), Violation> {
        let watched = &mut self.watched[at(id)];
        let found = Shadow::of(restored);
        let newest = restored.snapshot.as_ref();
        let mut disk = watched.disk.clone();
        let fits = |disk: &Shadow| {
            let mut disk = disk.clone();
            disk.reconcile(newest);
            disk == found
        };
        let mut is_prefix = fits(&disk);
        let ops = std::mem::take(&mut watched.unsynced);
        for op in &ops {
            disk.apply_in_steps(op, |disk| is_prefix = is_prefix || fits(disk));
        }
        ensure(is_prefix, Rule::Storage, || {
            format!(
                "node {id} finds {found} on its disk, where {} was synced and then given {ops:?}",
                watched.disk
            )
        })?;
        // A term that was not durable was told to nobody.
        watched.term = found.term;
        watched.commit = newest.map_or(0, |snapshot| snapshot.last_index);
        watched.disk = found;
        for (index, entry) in (restored.base_index + 1..).zip(&restored.entries) {
            let payload = hash_entry(entry);
            let seen =
                self.entries.get(place(index)).and_then(|all| all.iter().find(|it| it.term == entry.term));
            ensure(seen.is_some_and(|seen| seen.payload == payload), Rule::Storage, || {
                format!("node {id} finds an entry {index} of term {} that was never written", entry.term)
            })?;
        }
        self.check_durable()
    }
}

fn place(index: Index) -> usize {
    usize::try_from(index).expect("logs fit in memory").wrapping_sub(1)
}

fn hash_entry(entry: &Entry) -> u64 {
    match &entry.payload {
        Payload::Blank => 1,
        Payload::Command(command) => hash_text(command.json()),
        Payload::Membership(membership) => membership.nodes().into_iter().fold(2, mix),
    }
}

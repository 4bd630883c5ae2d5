//! What must hold of configurations: who may follow whom, who elects, and which one a node goes by.
//!
//! A voter is an id together with its data folder. A folder that was wiped is dead: it votes and acknowledges nothing any more,
//! and what it held counts as it was when it was wiped.

use traitwire_kv::kv_raft::raft::core::{Core, Effects, Op, Restored, Role};
use traitwire_kv::services::raft::{
    ClusterId, Entry, Incarnation, Index, Member, Membership, NodeId, Payload, SnapshotMeta, Term,
};

use super::{Book, Invariants, Watched};
use crate::machine::{Put, hash_text, mix};
use crate::network::at;
use crate::shadow::Shadow;
use crate::violation::{Rule, Violation, ensure};

/// A data folder, those that are gone included; its incarnation is this plus one.
pub(crate) type Body = usize;

/// Keys from this one on belong to commands of the second cluster.
pub(crate) const KEYS_OF_SECOND_CLUSTER: u64 = 1 << 32;

/// The incarnation of a data folder.
pub(crate) fn incarnation(body: Body) -> Incarnation {
    Incarnation(body as u128 + 1)
}

/// The data folder that a member has, if that is known.
pub(crate) fn body_of(member: &Member) -> Option<Body> {
    let Incarnation(number) = member.incarnation?;
    Body::try_from(number.checked_sub(1)?).ok()
}

/// The id of one of the simulated clusters.
pub(crate) fn cluster_id(cluster: usize) -> ClusterId {
    ClusterId(0xC0 + cluster as u128)
}

/// Which of the simulated clusters has this id.
pub(crate) fn cluster_of(id: ClusterId) -> usize {
    usize::from(id == cluster_id(1))
}

/// Whether the data folders that `has` names are a quorum of a configuration.
pub(crate) fn is_quorum(membership: &Membership, has: impl Fn(Body) -> bool) -> bool {
    membership.has_quorum(|id| membership.member(id).and_then(body_of).is_some_and(&has))
}

pub(super) fn hash_membership(membership: &Membership) -> u64 {
    let text = serde_json::to_string(membership).expect("memberships have a JSON form");
    mix(2, hash_text(&text))
}

fn membership_in(entry: &Entry) -> Option<&Membership> {
    match &entry.payload {
        Payload::Membership(membership) => Some(membership),
        Payload::Blank | Payload::Command(_) => None,
    }
}

/// The newest membership before an index, and where it is from.
fn membership_before(core: &Core, index: Index) -> Option<(Index, Membership)> {
    let newer = (core.base_index() + 1..index).rev();
    let found = newer.into_iter().find_map(|at| Some((at, membership_in(core.entry(at)?)?.clone())));
    found.or_else(|| {
        let snapshot = core.snapshot().filter(|snapshot| snapshot.last_index < index)?;
        Some((snapshot.last_index, Membership::clone(&snapshot.membership)))
    })
}

/// The membership that a node went by when its step began, which came from the entry `newest`.
fn membership_when_begun(core: &Core, newest: Index) -> Membership {
    let now = core.membership_index();
    let in_snapshot = core.snapshot().map_or(0, |snapshot| snapshot.last_index);
    let before = if now > newest.max(in_snapshot) { membership_before(core, now) } else { None };
    before.map_or_else(|| core.membership().clone(), |(_, membership)| membership)
}

/// Two disjoint quorums of two configurations, if there are any.
fn disjoint_quorums(one: &Membership, other: &Membership) -> Option<(Vec<Body>, Vec<Body>)> {
    let bodies_of = |membership: &Membership| {
        let voters = membership.voters.iter().chain(&membership.outgoing);
        voters.filter_map(|id| membership.member(*id).and_then(body_of)).collect::<Vec<_>>()
    };
    let mut bodies = [bodies_of(one), bodies_of(other)].concat();
    bodies.sort_unstable();
    bodies.dedup();
    (0_u32..1 << bodies.len()).find_map(|set| {
        let within =
            |body: &Body| bodies.iter().position(|it| it == body).is_some_and(|at| set >> at & 1 == 1);
        let (inside, outside): (Vec<_>, Vec<_>) = bodies.iter().copied().partition(within);
        let both =
            is_quorum(one, |body| inside.contains(&body)) && is_quorum(other, |body| outside.contains(&body));
        both.then_some((inside, outside))
    })
}

impl Book {
    /// An entry was committed for the first time, by the configuration that the node went by when its step began: what it has
    /// committed may have let it append the next one. `newest` is where that configuration comes from.
    pub(super) fn note_decision(&mut self, core: &Core, newest: Index, index: Index, entry: &Entry) {
        if let Some(membership) = membership_in(entry) {
            self.memberships.push((index, membership.clone()));
            self.proposed.retain(|(proposed, _)| *proposed > index);
        }
        self.deciders = Some(membership_when_begun(core, newest));
    }

    /// A snapshot names the configuration after its last entry.
    pub(super) fn check_snapshot(&self, id: NodeId, snapshot: &SnapshotMeta) -> Result<(), Violation> {
        let upto = self.memberships.partition_point(|(index, _)| *index <= snapshot.last_index);
        let Some((index, membership)) = upto.checked_sub(1).map(|at| &self.memberships[at]) else {
            return Ok(());
        };
        ensure(*membership == *snapshot.membership, Rule::NewestConfiguration, || {
            let (last, named) = (snapshot.last_index, &snapshot.membership.voters);
            format!(
                "node {id} has a snapshot of entry {last} with the voters {named:?}; entry {index} says {membership:?}"
            )
        })
    }
}

impl Watched {
    /// Follows which entry has the newest membership.
    pub(super) fn follow_memberships(&mut self, core: &Core, op: &Op) {
        match op {
            Op::Append { first, entries } => {
                let newest = entries.iter().rposition(|entry| membership_in(entry).is_some());
                if let Some(place) = newest {
                    self.newest_membership = first + place as u64;
                }
            }
            Op::Truncate(first) if self.newest_membership >= *first => {
                self.newest_membership = membership_before(core, *first).map_or(0, |(index, _)| index);
            }
            Op::Install { snapshot, keep_suffix } => {
                let kept = if *keep_suffix { self.newest_membership } else { 0 };
                self.newest_membership = kept.max(snapshot.last_index);
            }
            Op::Truncate(_) | Op::Vote { .. } | Op::SnapshotPiece { .. } | Op::Compact { .. } => {}
        }
    }

    /// Finds the newest membership of a log as it is on a disk.
    pub(super) fn find_memberships(&mut self, restored: &Restored) {
        let newest = restored.entries.iter().rposition(|entry| membership_in(entry).is_some());
        let in_log = newest.map_or(0, |place| restored.base_index + 1 + place as u64);
        let in_snapshot = restored.snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        self.newest_membership = in_log.max(in_snapshot);
    }
}

impl Invariants {
    /// The data folder of a node.
    pub(crate) fn body(&self, place: NodeId) -> Body {
        self.current[at(place)]
    }

    /// The cluster that a node belongs to; the first one while it belongs to none.
    pub(crate) fn cluster(&self, place: NodeId) -> usize {
        self.bodies[self.body(place)].cluster
    }

    /// A node belongs to a cluster from now on.
    pub(crate) fn on_admitted(&mut self, place: NodeId, cluster: usize) -> Result<(), Violation> {
        let body = self.body(place);
        let watched = &mut self.bodies[body];
        ensure(watched.cluster == cluster || watched.term == 0, Rule::ClustersApart, || {
            format!("node {place} has voted in one cluster and is admitted to another with the same folder")
        })?;
        watched.cluster = cluster;
        Ok(())
    }

    /// The data folder of a node is gone, and a new one takes its place.
    pub(crate) fn on_wiped(&mut self, place: NodeId) {
        self.current[at(place)] = self.bodies.len();
        self.bodies.push(Watched::default());
    }

    /// The data folder of a node is gone, and the node goes on as if it were the same.
    pub(crate) fn on_wiped_unnoticed(&mut self, place: NodeId) -> Result<(), Violation> {
        let body = self.body(place);
        let cluster = self.bodies[body].cluster;
        self.bodies[body] = Watched { cluster, disk: Shadow::default(), ..Watched::default() };
        self.check_durable(cluster)
    }

    /// Whether the first configuration of a cluster is committed.
    pub(crate) fn has_membership(&self, cluster: usize) -> bool {
        !self.books[cluster].memberships.is_empty()
    }

    /// The configurations of a cluster that may be in force: the newest one that is committed, and what came after it.
    pub(crate) fn memberships_in_force(&self, cluster: usize) -> impl Iterator<Item = &Membership> {
        let Book { memberships, proposed, .. } = &self.books[cluster];
        memberships.last().into_iter().chain(proposed).map(|(_, membership)| membership)
    }

    /// What a node saves as a snapshot.
    pub(crate) fn check_saved(&self, place: NodeId, snapshot: &SnapshotMeta) -> Result<(), Violation> {
        self.book(self.body(place)).check_snapshot(place, snapshot)
    }

    /// What is committed last is on the disks of a quorum of the configuration that has decided it.
    pub(super) fn check_quorum_of(
        &self,
        deciders: &Membership,
        index: Index,
        term: Term,
    ) -> Result<(), Violation> {
        let holds = |body: Body| self.bodies.get(body).is_some_and(|watched| watched.disk.has(index, term));
        ensure(is_quorum(deciders, holds), Rule::DurableQuorum, || {
            let holders: Vec<_> =
                (0..self.bodies.len()).filter(|body| holds(*body)).map(incarnation).collect();
            format!(
                "entry {index} of term {term} is committed and on the disks of {holders:?}; it needs a quorum of {deciders:?}"
            )
        })
    }

    /// A node that leads was elected by those who may. `newest` is where the configuration was from when it won.
    pub(super) fn check_election(
        &self,
        body: Body,
        core: &Core,
        newest: Index,
        term: Term,
    ) -> Result<(), Violation> {
        let (id, membership) = (core.id(), &membership_when_begun(core, newest));
        let names = |it: &Membership| it.is_voter(id) && it.member(id).and_then(body_of) == Some(body);
        // A voter that an uncommitted configuration removes may be the only node that has it.
        let is_removed = || {
            let before = membership_before(core, newest).filter(|_| newest > core.commit_index());
            before.is_some_and(|(_, before)| names(&before))
        };
        let is_voter = names(membership) || is_removed();
        ensure(is_voter, Rule::ElectedByVoters, || {
            format!(
                "node {id} leads term {term} with the folder {}, which is no voter of {membership:?}",
                body + 1
            )
        })?;
        let votes = &self.book(body).votes;
        let elects = |voter: Body| votes.get(&(voter, term)) == Some(&body);
        ensure(is_quorum(membership, elects), Rule::ElectedByVoters, || {
            let voters: Vec<_> =
                votes.iter().filter(|((_, of), vote)| *of == term && **vote == body).collect();
            format!(
                "node {id} leads term {term} with the votes {voters:?}; it needs a quorum of {membership:?}"
            )
        })
    }

    /// An entry comes into a log.
    pub(super) fn check_entry(
        &mut self,
        body: Body,
        core: &Core,
        index: Index,
        entry: &Entry,
    ) -> Result<(), Violation> {
        let cluster = self.bodies[body].cluster;
        let id = core.id();
        let apart = match &entry.payload {
            Payload::Blank => true,
            Payload::Command(command) => {
                Put::parse(command).is_none_or(|put| (put.key >= KEYS_OF_SECOND_CLUSTER) == (cluster == 1))
            }
            Payload::Membership(membership) => membership.cluster_id == Some(cluster_id(cluster)),
        };
        ensure(apart, Rule::ClustersApart, || {
            format!(
                "node {id} of cluster {cluster} has an entry {index} of another cluster: {:?}",
                entry.payload
            )
        })?;
        let Some(membership) = membership_in(entry) else { return Ok(()) };
        let book = self.book_mut(body);
        if index > book.committed.len() as u64 {
            book.proposed.push((index, membership.clone()));
        }
        let Some((before, old)) = membership_before(core, index) else { return Ok(()) };
        if let Some((one, other)) = disjoint_quorums(&old, membership) {
            let what = format!(
                "{one:?} can decide by {old:?} (entry {before}), {other:?} by {membership:?} (entry {index})"
            );
            return Err(Violation::new(Rule::OneChange, what));
        }
        if core.role() != Role::Leader || entry.term != core.term() {
            return Ok(());
        }
        let commit = core.commit_index();
        ensure(before <= commit, Rule::OneChange, || {
            format!("leader {id} appends the configuration {index} although {before} is not committed")
        })?;
        // A committed joint configuration has one successor only, whoever appends it.
        let term = core.entry(commit).map(|entry| entry.term);
        let is_ready = old.is_joint() || term.is_none_or(|term| term == core.term());
        ensure(is_ready, Rule::OneChange, || {
            format!(
                "leader {id} of term {} appends the configuration {index} and has committed nothing of its term",
                core.term()
            )
        })
    }

    /// A node goes by the newest configuration in its log.
    pub(super) fn check_membership(
        &self,
        body: Body,
        core: &Core,
        effects: &Effects,
    ) -> Result<(), Violation> {
        let (index, newest) = (core.membership_index(), self.bodies[body].newest_membership);
        let in_snapshot = core.snapshot().map_or(0, |snapshot| snapshot.last_index);
        let fits = if newest > in_snapshot { index == newest } else { index <= in_snapshot.max(newest) };
        ensure(fits, Rule::NewestConfiguration, || {
            format!(
                "node {} goes by the configuration of entry {index}; the newest one is in {newest}",
                core.id()
            )
        })?;
        if effects.persist.is_none() || index <= core.base_index() {
            return Ok(());
        }
        let said = core.entry(index).and_then(membership_in);
        ensure(said.is_none_or(|said| said == core.membership()), Rule::NewestConfiguration, || {
            format!("node {} goes by {:?}; entry {index} says {said:?}", core.id(), core.membership())
        })
    }
}

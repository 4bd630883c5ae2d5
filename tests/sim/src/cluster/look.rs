//! What a scenario sees of a cluster, and what it does to it.

use traitwire_kv::kv_raft::raft::core::{Core, Input, Proposed, Role};
use traitwire_kv::services::raft::{Command, Goal, Index, Member, NodeId, Term};

use super::{Cluster, Counts, Event};
use crate::client::NOBODY;
use crate::invariants::members::KEYS_OF_SECOND_CLUSTER;
use crate::machine::Put;
use crate::network::{Profile, at};
use crate::node::Node;
use crate::violation::{Rule, Violation, ensure};

impl Cluster {
    /// The time, in microseconds since the beginning.
    pub fn now_us(&self) -> u64 {
        self.now
    }

    /// What there was how often so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The core of a node that is up.
    pub fn core(&self, id: NodeId) -> Option<&Core> {
        self.nodes[at(id)].core()
    }

    /// The cores of the nodes that are up.
    pub fn cores(&self) -> impl Iterator<Item = &Core> {
        self.nodes.iter().filter_map(|node| node.core())
    }

    /// The node that leads the latest term that anybody leads.
    pub fn leader(&self) -> Option<NodeId> {
        let leads = |node: &&Node| node.core().is_some_and(|core| core.role() == Role::Leader);
        let leader = self.nodes.iter().enumerate().filter(|(_, node)| leads(node));
        let newest = leader.max_by_key(|(_, node)| node.core().map(Core::term));
        newest.map(|(place, _)| place as NodeId + 1)
    }

    /// The node that leads, if a majority of the nodes follows it.
    pub fn leader_of_majority(&self) -> Option<NodeId> {
        if self.plan.changes.is_some() {
            return self.leader_of_quorum(0);
        }
        let leader = self.core(self.leader()?)?;
        let follows = |core: &&Core| core.term() == leader.term() && core.leader() == Some(leader.id());
        let followers = self.cores().filter(follows).count();
        (2 * followers > self.nodes.len()).then(|| leader.id())
    }

    /// The node of a cluster that leads the latest term.
    pub(crate) fn leader_of(&self, cluster: usize) -> Option<NodeId> {
        let leads = |place: &NodeId| self.core(*place).is_some_and(|core| core.role() == Role::Leader);
        let of_cluster = |place: &NodeId| self.invariants.cluster(*place) == cluster;
        let leaders = self.plan.node_ids().filter(leads).filter(of_cluster);
        leaders.max_by_key(|place| self.core(*place).map(Core::term))
    }

    /// The node of a cluster that leads, if a quorum of its own configuration follows it.
    pub(crate) fn leader_of_quorum(&self, cluster: usize) -> Option<NodeId> {
        let place = self.leader_of(cluster)?;
        let leader = self.core(place)?;
        let follows = |id: NodeId| {
            let member = leader.membership().member(id)?;
            let core = self.core(self.place_of_member(member)?)?;
            Some(core.term() == leader.term() && core.leader() == Some(leader.id()))
        };
        leader.membership().has_quorum(|id| follows(id) == Some(true)).then_some(place)
    }

    /// Whether a cluster goes by a configuration that is committed, not joint, and has no learner that is to become a voter.
    pub(crate) fn is_settled(&self, cluster: usize) -> bool {
        let Some(core) = self.leader_of_quorum(cluster).and_then(|leader| self.core(leader)) else {
            return false;
        };
        let membership = core.membership();
        let learns = |member: &Member| member.goal == Goal::Learn || membership.is_voter(member.id);
        let is_well =
            |member: &Member| self.place_of_member(member).is_some() && self.can_vote(cluster, member);
        core.membership_index() <= core.commit_index()
            && !membership.is_joint()
            && membership.members.iter().all(|member| learns(member) && is_well(member))
    }

    /// The nodes of the newest configuration of a cluster.
    fn members_of(&self, cluster: usize) -> Vec<NodeId> {
        if self.plan.changes.is_none() {
            return self.plan.node_ids().collect();
        }
        let core = self.leader_of(cluster).and_then(|leader| self.core(leader));
        let members = core.map(|core| core.membership().members.clone()).unwrap_or_default();
        members.iter().filter_map(|member| self.place_of_member(member)).collect()
    }

    /// How long it is until the last one of the timers ends that the nodes have set so far.
    pub(crate) fn longest_timer_us(&self) -> u64 {
        let ends_at = |node: &Node| Some(node.clock.when(node.life.as_ref()?.deadline().0, self.now));
        self.nodes.iter().filter_map(ends_at).max().map_or(0, |ends_at| ends_at - self.now)
    }

    /// The latest term that a node is in.
    pub fn term(&self) -> Term {
        self.cores().map(Core::term).max().unwrap_or(0)
    }

    /// How many entries are committed.
    pub fn committed_index(&self) -> Index {
        self.invariants.committed_index(0)
    }

    /// Whether the entry at an index is committed and of this term.
    pub fn is_committed(&self, index: Index, term: Term) -> bool {
        self.invariants.is_committed(0, index, term)
    }

    /// Up to where a node has applied the log.
    pub fn applied_index(&self, id: NodeId) -> Index {
        self.nodes[at(id)].life.as_ref().map_or(0, |life| life.applied)
    }

    /// Up to where all nodes of a cluster have applied the log.
    pub(crate) fn least_applied(&self, cluster: usize) -> Index {
        self.members_of(cluster).into_iter().map(|id| self.applied_index(id)).min().unwrap_or(0)
    }

    /// How many calls of a client have ended well.
    pub fn calls_done(&self, client: usize) -> u64 {
        self.clients.done_by(client)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> u64 {
        self.plan.nodes
    }

    /// The clock of a node goes at this rate from now on, in millionths.
    pub fn set_clock_rate(&mut self, id: NodeId, rate: u64) {
        let now = self.now;
        self.node(id).clock.set_rate(now, rate);
        self.reset_timer(id);
    }

    /// The network treats messages so from now on.
    pub fn set_profile(&mut self, profile: Profile) {
        self.network.profile = profile;
    }

    /// Cuts a node off, or lets it back.
    pub fn cut_off(&mut self, id: NodeId, cut: bool) {
        self.set_links(id, cut);
    }

    /// Nothing gets from one node to another, or it does again.
    pub fn cut_link(&mut self, from: NodeId, to: NodeId, cut: bool) {
        self.network.set_cut(from, to, cut);
    }

    /// Parts these nodes from the rest.
    pub fn part_from(&mut self, group: &[NodeId]) {
        self.part(|id| group.contains(&id));
    }

    /// Makes all links whole.
    pub fn heal(&mut self) {
        self.network.heal();
    }

    /// A node loses its power, and comes back after this time.
    pub fn crash_for(&mut self, id: NodeId, down_us: u64) {
        self.node(id).down_until = self.now + down_us;
        self.crash(id);
        self.add(down_us, Event::Start(id));
    }

    /// Lets a node propose commands that change nothing. Gives the index of the first one and the term, unless the node
    /// refuses. What the node then tells whoever waits for them is held against what becomes of them.
    ///
    /// # Errors
    /// When that breaks a rule.
    pub fn propose(&mut self, id: NodeId, count: u64) -> Result<Option<(Index, Term)>, Violation> {
        let names: Vec<_> = (0..count).map(|_| self.clients.name()).collect();
        let key = if self.invariants.cluster(id) == 0 { 0 } else { KEYS_OF_SECOND_CLUSTER };
        let command = |id: &u64| Put { id: *id, key, version: u64::MAX, value: 0 }.command();
        let commands = names.iter().map(command).collect();
        let Some(Proposed::Accepted { first, term }) = self.step(id, Input::Propose(commands))? else {
            return Ok(None);
        };
        if let Some(life) = self.life(id) {
            for (index, name) in (first..).zip(names) {
                life.waiters.entry((index, term)).or_default().push((name, NOBODY));
            }
        }
        Ok(Some((first, term)))
    }

    /// Lets a node propose one command of so many bytes that changes nothing.
    ///
    /// # Errors
    /// When that breaks a rule.
    pub fn propose_bytes(&mut self, id: NodeId, bytes: usize) -> Result<Option<(Index, Term)>, Violation> {
        let filler = Command::new(&"x".repeat(bytes)).expect("a text has a JSON form");
        match self.step(id, Input::Propose(vec![filler]))? {
            Some(Proposed::Accepted { first, term }) => Ok(Some((first, term))),
            Some(Proposed::Refused(_)) | None => Ok(None),
        }
    }

    /// The disk of a node syncs nothing for this long.
    pub fn stall_disk(&mut self, id: NodeId, us: u64) {
        let until = self.now + us;
        self.node(id).stalled_until = until;
    }

    /// What the last entries of a node's log count for in [`Counts::bytes`](super::Counts::bytes), sent once.
    pub fn bytes_of_last(&self, id: NodeId, entries: u64) -> u64 {
        let Some(core) = self.core(id) else { return 0 };
        let last = core.last_index();
        let entries = (last + 1 - entries..=last).filter_map(|index| core.entry(index));
        entries.map(|entry| super::host::bytes_of_entry(entry) as u64).sum()
    }

    /// Lets a node hand over its leadership.
    ///
    /// # Errors
    /// When that breaks a rule.
    pub fn transfer(&mut self, from: NodeId, to: Option<NodeId>) -> Result<(), Violation> {
        self.step(from, Input::Transfer(to)).map(drop)
    }

    /// Lets time pass until something holds.
    ///
    /// # Errors
    /// When a rule is broken, or it does not come to hold in time.
    pub fn run_until(
        &mut self,
        within_us: u64,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<u64, Violation> {
        let begun = self.now;
        while !holds(self) {
            ensure(self.now - begun < within_us, Rule::Liveness, || {
                format!("in {} ms there was no {what}", within_us / 1_000)
            })?;
            self.run_for(1_000)?;
        }
        Ok(self.now - begun)
    }

    /// Whether all nodes are up, have the same log and have applied all of it.
    pub fn has_converged(&self) -> bool {
        self.cluster_has_converged(0)
    }

    /// The same for one of two clusters.
    pub(crate) fn cluster_has_converged(&self, cluster: usize) -> bool {
        let last_index = self.invariants.committed_index(cluster);
        let members = self.members_of(cluster);
        !members.is_empty()
            && members.into_iter().all(|id| {
                self.core(id).is_some_and(|core| core.last_index() == last_index)
                    && self.applied_index(id) == last_index
            })
    }
}

impl Cluster {
    /// What each node is now, in the trace.
    pub(crate) fn note_nodes(&mut self) {
        for place in self.plan.node_ids() {
            let body = self.invariants.body(place) + 1;
            let Some(core) = self.nodes[at(place)].core() else { continue };
            let (role, term, index) = (core.role(), core.term(), core.membership_index());
            let members = crate::show::membership(core.membership());
            let id = core.id();
            self.trace.line(self.now, || {
                format!(
                    "n{place} is {id}, folder {body}: {role:?} of term {term}, members of {index}: {members}"
                )
            });
        }
    }
}

//! Operators: they add, promote, remove and replace nodes, wipe folders, and make mistakes.
//!
//! They draw from a random stream of their own. What they never do is leave a cluster without a live majority of folders in some
//! configuration that may be in force: no cluster survives that.

use traitwire_kv::kv_raft::raft::core::{Change, Core, Input};
use traitwire_kv::services::raft::{Goal, Member, Membership, NodeId};

use crate::cluster::{Cluster, Event};
use crate::invariants::Body;
use crate::invariants::members::{body_of, cluster_id, is_quorum};
use crate::network::{at, draw};
use crate::plan::pick;
use crate::violation::Violation;

/// How long a node waits until it asks again to be a member.
const REJOIN_US: u64 = 150_000;

/// How often operators clean up once all faults have ended.
const CLEAN_UP_US: u64 = 300_000;

/// Those who operate the clusters.
pub(crate) struct Operators {
    random: fastrand::Rng,
    /// By place: the cluster to which a node whose folder was wiped belonged.
    homes: Vec<Option<usize>>,
}

impl Operators {
    pub(crate) fn new(seed: u64, nodes: u64) -> Self {
        let homes = (0..nodes).map(|_| None).collect();
        Self { random: fastrand::Rng::with_seed(seed ^ 0x0BE5_A70F), homes }
    }

    pub(crate) fn home(&self, place: NodeId) -> Option<usize> {
        self.homes[at(place)]
    }
}

impl Cluster {
    pub(crate) fn operators_mut(&mut self) -> &mut Operators {
        self.operators.as_mut().expect("the membership changes in this run")
    }

    pub(crate) fn operators_random(&mut self) -> &mut fastrand::Rng {
        &mut self.operators_mut().random
    }

    pub(crate) fn operators_chance(&mut self, chance: u32) -> bool {
        draw(self.operators_random(), chance)
    }

    /// The operator of a cluster does something.
    pub(crate) fn operate(&mut self, cluster: usize) -> Result<(), Violation> {
        let Some(changes) = self.plan.changes else { return Ok(()) };
        let after_us = if self.calm { CLEAN_UP_US } else { changes.gap_us.draw(self.operators_random()) };
        self.add(after_us, Event::Operator(cluster));
        if self.calm {
            return self.clean_up(cluster);
        }
        if cluster > 0
            && let Some(leader) = self.leader_of(cluster)
        {
            self.propose(leader, 1)?;
        }
        if self.operators_chance(changes.wipes) {
            return self.wipe_one(cluster);
        }
        let nodes = self.plan.nodes;
        let careless = self.operators_chance(changes.careless);
        let any = self.operators_random().u64(1..=nodes);
        let asked = self.leader_of(cluster).filter(|_| !careless).unwrap_or(any);
        // Who is careless may ask a node of the other cluster.
        let cluster = self.invariants.cluster(asked);
        for _ in 0..if careless { 2 } else { 1 } {
            if let Some(change) = self.draw_change(cluster, asked, careless) {
                self.change(asked, change)?;
            }
        }
        Ok(())
    }

    /// Asks a node for a change.
    fn change(&mut self, place: NodeId, change: Change) -> Result<(), Violation> {
        self.trace.note(&[self.now, 0x0C, place]);
        let token = self.clients.name();
        self.step(place, Input::Change { token, change }).map(drop)
    }

    fn draw_change(&mut self, cluster: usize, asked: NodeId, careless: bool) -> Option<Change> {
        let membership = self.core(asked)?.membership().clone();
        let nodes = membership.nodes();
        if nodes.is_empty() {
            return None;
        }
        let learners = membership.learners.clone();
        let places = self.plan.nodes;
        let random = self.operators_random();
        let any = pick(random, &nodes);
        match random.u8(0..10) {
            0..4 => self.draw_addition(cluster, &membership),
            4 if careless => Some(Change::Promote(any)),
            4 => Some(Change::Promote(*learners.first()?)),
            5..8 => self.may_lose(cluster, None, Some(any)).then_some(Change::Remove(any)),
            8 if careless => {
                // Somebody claims to be a member with another folder.
                let place = self.operators_random().u64(1..=places);
                let member = self.member_at(place, Goal::Vote);
                let is_wiped = membership.member(member.id).is_some_and(|known| known.url == member.url);
                is_wiped.then_some(Change::Rejoin(member))
            }
            _ => {
                let members = membership.member(any).cloned().into_iter().collect();
                Some(Change::Describe { cluster_id: Some(cluster_id(cluster)), members })
            }
        }
    }

    /// A node that is there to be added, with what is to become of it.
    fn draw_addition(&mut self, cluster: usize, membership: &Membership) -> Option<Change> {
        let mistaken = self.plan.changes.is_some_and(|changes| self.operators_chance(changes.mistaken));
        let is_new = |place: &NodeId| {
            let body = self.invariants.body(*place);
            let known = membership.members.iter().any(|member| body_of(member) == Some(body));
            let other = self.belongs_to(*place).is_some_and(|it| it != cluster);
            // No mistake takes a voter away from the other cluster.
            let theirs = self.invariants.memberships_in_force(1 - cluster);
            let named = |it: &Membership| {
                it.members.iter().any(|member| it.is_voter(member.id) && body_of(member) == Some(body))
            };
            let is_theirs_voter = theirs.into_iter().any(named);
            !known && (!other || mistaken) && !is_theirs_voter && self.core(*place).is_some()
        };
        let places: Vec<_> = self.plan.node_ids().filter(is_new).collect();
        if places.is_empty() {
            return None;
        }
        let random = self.operators_random();
        let place = pick(random, &places);
        let goal = match random.u8(0..6) {
            0 => Goal::Learn,
            1..4 => Goal::Vote,
            _ => Goal::Replace(pick(random, &membership.nodes())),
        };
        Some(Change::Add(self.member_at(place, goal)))
    }

    /// The cluster that a node was admitted to.
    pub(crate) fn belongs_to(&self, place: NodeId) -> Option<usize> {
        self.nodes[at(place)].identity?.cluster_id?;
        Some(self.invariants.cluster(place))
    }

    /// Wipes the folder of a node that the cluster can do without.
    fn wipe_one(&mut self, cluster: usize) -> Result<(), Violation> {
        let nodes = self.plan.nodes;
        let place = self.operators_random().u64(1..=nodes);
        let body = self.invariants.body(place);
        let clusters = self.plan.changes.map_or(1, |changes| changes.clusters());
        let is_founded = (0..clusters).all(|cluster| self.invariants.has_membership(cluster));
        if !is_founded || !(0..clusters).all(|cluster| self.may_lose(cluster, Some(body), None)) {
            return Ok(());
        }
        let is_member =
            |membership: &Membership| membership.members.iter().any(|it| body_of(it) == Some(body));
        let is_member = self.invariants.memberships_in_force(cluster).any(is_member);
        let rejoins = self.operators_random().u32(1..400_000);
        if is_member {
            self.operators_mut().homes[at(place)] = Some(cluster);
            self.add(rejoins.into(), Event::Rejoin(place));
        }
        self.wipe(place)
    }

    /// Whether each configuration that may be in force, and each that may follow without an operator, has a live quorum although a
    /// folder or a voter is gone.
    fn may_lose(&self, cluster: usize, gone: Option<Body>, removed: Option<NodeId>) -> bool {
        let lives = |body: Body| gone != Some(body) && self.is_alive(cluster, body);
        self.invariants.memberships_in_force(cluster).all(|membership| {
            let without = |voters: &[NodeId], node: Option<NodeId>| {
                voters.iter().copied().filter(|voter| node != Some(*voter)).collect::<Vec<_>>()
            };
            let has_quorum = |voters: Vec<NodeId>| {
                let plain = Membership { voters, outgoing: Vec::new(), ..membership.clone() };
                !plain.voters.is_empty() && is_quorum(&plain, lives)
            };
            let voters = without(&membership.voters, removed);
            let grown = membership.members.iter().filter(|member| membership.learners.contains(&member.id));
            let all_grown = grown.clone().all(|member| {
                let replaced = match member.goal {
                    Goal::Replace(old) => Some(old),
                    Goal::Learn | Goal::Vote => None,
                };
                let mut voters = without(&voters, replaced);
                voters.push(member.id);
                member.goal == Goal::Learn || has_quorum(voters)
            });
            is_quorum(membership, lives) && has_quorum(voters) && all_grown
        })
    }

    /// A node whose folder was wiped asks to be a member again.
    pub(crate) fn rejoin(&mut self, place: NodeId) -> Result<(), Violation> {
        let Some(cluster) = self.operators_mut().home(place) else { return Ok(()) };
        self.add(REJOIN_US, Event::Rejoin(place));
        if self.core(place).is_none_or(Core::is_member) {
            return Ok(());
        }
        let nodes = self.plan.nodes;
        let any = self.operators_random().u64(1..=nodes);
        let asked = self.leader_of(cluster).unwrap_or(any);
        let reaches = !self.network.is_cut(place, asked) && !self.network.is_cut(asked, place);
        if asked == place || !reaches || self.invariants.cluster(asked) != cluster {
            return Ok(());
        }
        let member = self.member_at(place, Goal::Vote);
        // Like a real node, the one that is asked looks first whether another node with this id is alive.
        let known = self.core(asked).and_then(|core| core.membership().member(member.id));
        if known.is_some_and(|known| known.url != member.url && self.place_of_member(known).is_some()) {
            return Ok(());
        }
        self.change(asked, Change::Rejoin(member))
    }

    /// Removes what can never become a voter, once all faults have ended.
    fn clean_up(&mut self, cluster: usize) -> Result<(), Violation> {
        let Some(leader) = self.leader_of_quorum(cluster) else { return Ok(()) };
        let Some(core) = self.core(leader) else { return Ok(()) };
        let membership = core.membership().clone();
        let lost = membership.members.iter().filter(|member| !self.can_vote(cluster, member));
        let lost: Vec<_> = lost.map(|member| member.id).collect();
        // One of them may stand in the way of the others.
        for id in lost {
            self.change(leader, Change::Remove(id))?;
        }
        Ok(())
    }

    /// Whether a member has its folder and belongs to this cluster, or will be made a member anew.
    pub(crate) fn can_vote(&self, cluster: usize, member: &Member) -> bool {
        match self.place_of_member(member) {
            Some(place) => self.belongs_to(place).is_none_or(|it| it == cluster),
            None => self.plan.node_ids().any(|place| {
                let is_home = self.operators.as_ref().is_some_and(|it| it.home(place) == Some(cluster));
                is_home
                    && self.nodes[at(place)].id == member.id
                    && self.belongs_to(place).is_none_or(|it| it == cluster)
            }),
        }
    }
}

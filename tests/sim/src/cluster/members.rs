//! What a host does where the membership changes: it founds, it says who it is, it refuses strangers, and it starts with
//! whatever arguments somebody gave it.
//!
//! Founding is simpler here than in a real host: the first node founds before any fault, and the others wait for it.

use traitwire_kv::kv_raft::raft::core::{
    Admission, Changed, Input, Options, Receiver, Reply, Request, Restored, Role,
};
use traitwire_kv::services::raft::{Goal, Member, Membership, NodeId, Payload, Sender, VoteReply};

use super::{Cluster, Event, NodeEvent};
use crate::disk::SimDisk;
use crate::host_bug::HostBug;
use crate::invariants::Body;
use crate::invariants::members::{body_of, cluster_id, cluster_of, incarnation};
use crate::network::at;
use crate::node::{CallId, NodeIdentity};
use crate::operator::Operators;
use crate::plan::{ChangePlan, SECOND_US, SeededBug};
use crate::violation::{Rule, Violation, ensure};

/// The name of all clusters: those of operators who never chose one.
const NAME: &str = "simulated";
const PROTOCOL: u32 = 1;

/// Ids of nodes that are there to be added begin after this one.
const SPARE_IDS: NodeId = 10;

/// The data folder that a sender has.
pub(super) fn body_of_sender(sender: &Sender) -> Option<Body> {
    let incarnation = sender.from_incarnation?;
    Body::try_from(incarnation.0.checked_sub(1)?).ok()
}

/// Which node is found at a URL.
pub(crate) fn place_at(url: &str) -> Option<NodeId> {
    url.strip_prefix("http://node-")?.parse().ok()
}

impl Cluster {
    /// Decides who is who, before anything starts.
    pub(super) fn prepare_clusters(&mut self, changes: &ChangePlan) {
        self.operators = Some(Box::new(Operators::new(self.plan.seed, self.plan.nodes)));
        let [first, second] = changes.founders;
        for place in self.plan.node_ids() {
            let id = if place <= first {
                place
            } else if place <= first + second {
                place - first
            } else {
                SPARE_IDS + place
            };
            let node = self.node(place);
            node.id = id;
            node.identity = Some(NodeIdentity { incarnation: incarnation(at(place)), cluster_id: None });
        }
    }

    /// Founds the clusters, and waits until that is durable.
    pub(super) fn found_clusters(&mut self, changes: &ChangePlan) -> Result<(), Violation> {
        let mut first = 1;
        for (cluster, founders) in changes.founders.into_iter().enumerate().take(changes.clusters()) {
            let places = first..first + founders;
            let members = places.map(|place| self.member_at(place, Goal::Vote)).collect();
            let membership =
                Membership { cluster_id: Some(cluster_id(cluster)), members, ..Membership::of(1..=founders) };
            self.admit(first, cluster)?;
            self.step(first, Input::Found(membership))?;
            let founder = first;
            let is_founded = |it: &Self| it.core(founder).is_some_and(|core| core.durable_index() > 0);
            self.run_until(SECOND_US, "durable foundation", is_founded)?;
            first += founders;
            let after_us = self.operators_random().u64(0..200_000);
            self.add(after_us, Event::Operator(cluster));
        }
        Ok(())
    }

    /// The member that a node would be.
    pub(crate) fn member_at(&self, place: NodeId, goal: Goal) -> Member {
        let node = &self.nodes[at(place)];
        let incarnation = node.identity.map(|identity| identity.incarnation);
        Member { id: node.id, incarnation, url: format!("http://node-{place}"), goal }
    }

    /// A node belongs to a cluster from now on, and its folder says so.
    fn admit(&mut self, place: NodeId, cluster: usize) -> Result<(), Violation> {
        let id = cluster_id(cluster);
        let in_memory = self.plan.has(HostBug::ClusterIdInMemory);
        if let Some(identity) = self.node(place).identity.as_mut().filter(|_| !in_memory) {
            identity.cluster_id = Some(id);
        }
        if let Some(life) = self.life(place) {
            life.admitted_to = Some(id);
        }
        self.invariants.on_admitted(place, cluster)
    }

    /// The settings of the core of a node for its next life.
    pub(super) fn options_of(&self, place: NodeId, seed: u64) -> Options {
        let node = &self.nodes[at(place)];
        let mut options = self.plan.options(node.id, seed);
        options.incarnation = node.identity.map(|identity| identity.incarnation);
        options
    }

    /// Starts a node with other arguments than before. They change nothing, but for the bugs that let them.
    pub(super) fn misread_membership(&mut self, place: NodeId, restored: &mut Restored) {
        let node = &self.nodes[at(place)];
        let misread = if self.plan.has(HostBug::ArgumentsOverLog) {
            let members = vec![self.member_at(place, Goal::Vote)];
            let cluster_id = node.identity.and_then(|identity| identity.cluster_id);
            Membership { cluster_id, members, ..Membership::of([node.id]) }
        } else if self.plan.has(HostBug::MembershipInTwoPlaces) {
            let Some(applied) = node.applied_membership.clone() else { return };
            applied
        } else {
            return;
        };
        if let Some(snapshot) = &mut restored.snapshot {
            *snapshot.membership = misread.clone();
        }
        for entry in &mut restored.entries {
            if let Payload::Membership(membership) = &mut entry.payload {
                **membership = misread.clone();
            }
        }
    }

    /// Keeps up with where the other nodes are.
    pub(super) fn follow_contacts(&mut self, place: NodeId) {
        if self.plan.changes.is_none() {
            return;
        }
        let Some(life) = self.life(place) else { return };
        if life.contacts_from == Some(life.core.membership_index()) {
            return;
        }
        life.contacts_from = Some(life.core.membership_index());
        for member in life.core.leaving_members().iter().chain(&life.core.membership().members) {
            life.contacts.insert(member.id, member.clone());
        }
    }

    /// Where a node is, as another one knows it.
    pub(crate) fn place_of(&self, from: NodeId, to: NodeId) -> Option<NodeId> {
        if self.plan.changes.is_none() {
            return Some(to);
        }
        let life = self.nodes[at(from)].life.as_ref()?;
        place_at(&life.contacts.get(&to)?.url)
    }

    /// Where a message goes, and what it says of its sender.
    pub(super) fn address(&mut self, from: NodeId, to: NodeId) -> Option<(NodeId, Option<Box<Sender>>)> {
        let Some(changes) = self.plan.changes else { return Some((to, None)) };
        let node = &self.nodes[at(from)];
        let life = node.life.as_ref()?;
        let contact = life.contacts.get(&to)?;
        let sender = Sender {
            cluster: NAME.to_owned(),
            protocol: PROTOCOL,
            from: node.id,
            to,
            cluster_id: life.core.membership().cluster_id,
            from_incarnation: node.identity.map(|identity| identity.incarnation),
            to_incarnation: contact.incarnation,
            membership_index: Some(life.core.membership_index()),
        };
        let mut place = place_at(&contact.url)?;
        let nodes = self.plan.nodes;
        let is_wrong = !self.calm && self.operators_chance(changes.wrong_urls);
        if is_wrong {
            place = self.operators_random().u64(1..=nodes);
        }
        // A node does not call itself.
        (place != from).then(|| (place, Some(Box::new(sender))))
    }

    /// Whether a message may reach a core. The check stands where that of a real node does.
    pub(super) fn admits(&mut self, place: NodeId, sender: &Sender) -> Result<bool, Violation> {
        let node = &self.nodes[at(place)];
        let (Some(life), Some(identity)) = (&node.life, node.identity) else { return Ok(true) };
        let (_, committed) = life.core.committed_membership();
        let receiver = Receiver {
            cluster: NAME,
            protocol: PROTOCOL,
            id: node.id,
            incarnation: Some(identity.incarnation),
            cluster_id: identity.cluster_id.or(life.admitted_to),
            membership: life.core.membership(),
            membership_index: life.core.membership_index(),
            committed,
            log_is_empty: life.core.log_is_empty(),
        };
        let bug = match self.plan.bug {
            Some(SeededBug::Core(bug)) => Some(bug),
            Some(SeededBug::Host(_) | SeededBug::Service(_)) | None => None,
        };
        match receiver.admit_with_bug(sender, bug) {
            Admission::Accepted => Ok(true),
            Admission::Adopt(id) => self.admit(place, cluster_of(id)).map(|()| true),
            Admission::Refused(refusal) => {
                self.counts.refused_senders += 1;
                self.trace.line(self.now, || format!("n{place} refuses {}: {refusal}", sender.from));
                Ok(false)
            }
        }
    }

    /// Answers a message that may not reach the core.
    pub(super) fn refuse(&mut self, place: NodeId, (caller, call): (NodeId, CallId), request: &Request) {
        let granted = match request {
            Request::PreVote(args) => Reply::PreVote(VoteReply { term: args.term, granted: true }),
            Request::Vote(args) => Reply::Vote(VoteReply { term: args.term, granted: true }),
            Request::Append(_) | Request::Snapshot(_) | Request::TimeoutNow(_) => {
                self.hang_up(place, caller, call);
                return;
            }
        };
        if self.plan.has(HostBug::RefusalIsVote) {
            self.add_for(caller, 1_000, NodeEvent::Reply { from: place, call, reply: granted });
        } else {
            self.hang_up(place, caller, call);
        }
    }

    /// A change was decided.
    pub(super) fn note_changed(&mut self, place: NodeId, changed: &Changed) -> Result<(), Violation> {
        match changed {
            Changed::Done(index) => {
                self.counts.changes += 1;
                let committed = self.invariants.committed_index(self.invariants.cluster(place));
                ensure(*index <= committed, Rule::CommittedForEver, || {
                    format!("node {place} says that a change is done at {index}; {committed} are committed")
                })
            }
            Changed::Refused(_) | Changed::Unknown => Ok(()),
        }
    }

    /// The newest membership of a node is another one.
    pub(super) fn note_membership(&mut self, place: NodeId) {
        let Some(life) = self.life(place) else { return };
        let begins = life.core.role() == Role::Leader && life.core.membership().is_joint();
        self.counts.joint += u64::from(begins);
    }

    /// The folder of a node is gone; the node starts with an empty one.
    pub(crate) fn wipe(&mut self, place: NodeId) -> Result<(), Violation> {
        self.kill(place);
        self.counts.wipes += 1;
        self.trace.line(self.now, || format!("-- the folder of n{place} is wiped"));
        let seed = self.operators_random().u64(..);
        let first_call = self.clients.name();
        let kept = self.plan.has(HostBug::WipedKeepsIncarnation);
        let checked = if kept {
            self.invariants.on_wiped_unnoticed(place)
        } else {
            self.invariants.on_wiped(place);
            Ok(())
        };
        let incarnation = incarnation(self.invariants.body(place));
        let node = self.node(place);
        node.disk = SimDisk::new(Default::default(), seed);
        node.disk_may_fail = false;
        node.identity = Some(NodeIdentity { incarnation, cluster_id: None });
        node.applied_membership = None;
        node.first_call = first_call;
        node.wiped = true;
        checked
    }

    /// A node that was wiped is started without the list of its peers.
    pub(super) fn found_anew(&mut self, place: NodeId) -> Result<(), Violation> {
        if !self.nodes[at(place)].wiped || !self.plan.has(HostBug::WipedNodeFounds) {
            return Ok(());
        }
        let Some(cluster) = self.operators_mut().home(place) else { return Ok(()) };
        let member = self.member_at(place, Goal::Vote);
        let founded = Membership {
            cluster_id: Some(cluster_id(cluster)),
            members: vec![member.clone()],
            ..Membership::of([member.id])
        };
        self.admit(place, cluster)?;
        self.step(place, Input::Found(founded)).map(drop)
    }

    /// Whether a data folder is still that of a node, and not one that another cluster has admitted.
    pub(crate) fn is_alive(&self, cluster: usize, body: Body) -> bool {
        let place = self.plan.node_ids().find(|place| self.invariants.body(*place) == body);
        place.is_some_and(|place| self.belongs_to(place).is_none_or(|it| it == cluster))
    }

    /// Where the data folder of a member is.
    pub(crate) fn place_of_member(&self, member: &Member) -> Option<NodeId> {
        let body = body_of(member)?;
        self.plan.node_ids().find(|place| self.invariants.body(*place) == body)
    }
}

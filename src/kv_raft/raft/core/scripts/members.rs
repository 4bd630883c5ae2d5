//! Who belongs to the cluster of a story: incarnations, the check of senders, and changes.

use super::super::{
    Admission, Change, ChangeRefusal, Changed, Core, Options, Receiver, SenderRefusal, Token,
};
use super::cluster::{Cluster, Machine};
use super::commands::node;
use super::disk::Disk;
use crate::services::raft::{ClusterId, Goal, Incarnation, Member, Membership, NodeId, Sender};

/// The id of the cluster that a node founds is this and its own id.
const CLUSTERS: u128 = 0xc0;

/// What a node's folder says about it.
#[derive(Default)]
pub(super) struct Identity {
    incarnation: Option<Incarnation>,
    cluster_id: Option<ClusterId>,
    /// Whether it has heard that it is not a member any more.
    pub(super) is_expelled: bool,
}

impl Identity {
    /// The identity of a node that starts with these options, which begin with nothing if it is new.
    pub(super) fn new(options: &mut Options, is_new: bool) -> Self {
        if is_new {
            options.membership = Membership::default();
            options.incarnation = Some(Incarnation(options.id.into()));
        }
        Self { incarnation: options.incarnation, ..Self::default() }
    }
}

impl Machine {
    fn member(&self, goal: Goal) -> Member {
        let (id, incarnation) = (self.options.id, self.identity.incarnation);
        Member { id, incarnation, url: format!("http://n{id}"), goal }
    }

    /// What this node says of itself in a message.
    pub(super) fn sender(&self, to: NodeId) -> Sender {
        let core = self.core.as_ref().unwrap();
        let leaving = core.leaving_members();
        let addressee = core.membership().member(to).or_else(|| leaving.iter().find(|it| it.id == to));
        Sender {
            cluster: "story".to_owned(),
            protocol: 1,
            from: self.options.id,
            to,
            cluster_id: self.identity.cluster_id.or(core.membership().cluster_id),
            from_incarnation: self.identity.incarnation,
            to_incarnation: addressee.and_then(|member| member.incarnation),
            membership_index: Some(core.membership_index()),
        }
    }

    /// Whether a message may reach the core; a new node belongs to its sender's cluster from then on.
    pub(super) fn admit(&mut self, sender: &Sender) -> Result<(), SenderRefusal> {
        let core = self.core.as_ref().unwrap();
        let receiver = Receiver {
            cluster: "story",
            protocol: 1,
            id: self.options.id,
            incarnation: self.identity.incarnation,
            cluster_id: self.identity.cluster_id,
            membership: core.membership(),
            committed: core.committed_membership().1,
            membership_index: core.membership_index(),
            log_is_empty: core.log_is_empty(),
        };
        #[cfg(feature = "bugs")]
        let admission = receiver.admit_with_bug(sender, self.options.bug);
        #[cfg(not(feature = "bugs"))]
        let admission = receiver.admit(sender);
        match admission {
            Admission::Accepted => Ok(()),
            Admission::Adopt(cluster) => {
                self.identity.cluster_id = Some(cluster);
                Ok(())
            }
            Admission::Refused(refusal) => Err(refusal),
        }
    }

    pub(super) fn note_refusal(&mut self, refusal: &SenderRefusal) {
        self.identity.is_expelled |= refusal.expels_sender();
    }

    /// The id of the cluster is certain once a committed membership names it.
    pub(super) fn note_cluster(&mut self) {
        let (_, committed) = self.core.as_ref().unwrap().committed_membership();
        self.identity.cluster_id = self.identity.cluster_id.or(committed.cluster_id);
    }
}

impl Cluster {
    /// The membership with which the first nodes become a cluster.
    pub(super) fn founding(&mut self, id: NodeId, count: NodeId) -> Membership {
        let members = (1..=count).map(|id| self.machine(id).member(Goal::Vote)).collect();
        Membership {
            cluster_id: Some(ClusterId(CLUSTERS + u128::from(id))),
            members,
            ..Membership::of(1..=count)
        }
    }

    pub(super) fn wipe(&mut self, id: NodeId) {
        let now = self.now;
        let machine = self.machine(id);
        let before = machine.identity.incarnation.unwrap();
        let incarnation = Some(Incarnation(before.0 + 10));
        machine.options.incarnation = incarnation;
        machine.identity = Identity { incarnation, ..Identity::default() };
        machine.disk = Disk::default();
        machine.restart_at(now);
    }

    /// The change that a command names.
    pub(super) fn change(&mut self, what: &str, words: &[&str]) -> Change {
        let id = node(words[0]);
        let mut member = self.machine(id).member(Goal::Vote);
        match (what, &words[1..]) {
            ("add", []) => Change::Add(member),
            ("add", ["learn"]) => Change::Add(Member { goal: Goal::Learn, ..member }),
            ("add", ["absent"]) => Change::Add(Member { incarnation: None, ..member }),
            ("add", [replace]) => {
                let old = node(replace.strip_prefix("replace=").unwrap());
                Change::Add(Member { goal: Goal::Replace(old), ..member })
            }
            ("promote", []) => Change::Promote(id),
            ("remove", []) => Change::Remove(id),
            ("rejoin", []) => Change::Rejoin(member),
            ("move", []) => {
                member.url.push_str("/moved");
                Change::Describe { cluster_id: None, members: vec![member] }
            }
            _ => panic!("there is no command {what} {words:?}"),
        }
    }
}

/// A membership in a trace: the voters, those that are outgoing, and the learners; an incarnation where it is not the first.
pub(super) fn membership(membership: &Membership) -> String {
    let Membership { voters, outgoing, learners, .. } = membership;
    let name = |id: &NodeId| {
        let incarnation = membership.member(*id).and_then(|member| member.incarnation);
        match incarnation.map(|it| it.0).filter(|it| *it != u128::from(*id)) {
            Some(other) => format!("{id}#{other}"),
            None => id.to_string(),
        }
    };
    let list = |nodes: &[NodeId]| nodes.iter().map(name).collect::<Vec<_>>().join(",");
    let mut text = format!("voters({})", list(voters));
    if !outgoing.is_empty() {
        text.push_str(&format!("outgoing({})", list(outgoing)));
    }
    if !learners.is_empty() {
        text.push_str(&format!("learners({})", list(learners)));
    }
    text
}

/// What became of a change.
pub(super) fn outcome((token, changed): &(Token, Changed)) -> String {
    match changed {
        Changed::Done(index) => format!("change {token} is done at {index}"),
        Changed::Unknown => format!("change {token} may take effect"),
        Changed::Refused(ChangeRefusal::InProgress { node: Some(node) }) => {
            format!("change {token} refused: n{node} is being changed")
        }
        Changed::Refused(refusal) => format!("change {token} refused: {refusal:?}"),
    }
}

/// Whether a node campaigns, and whether it belongs to the cluster, where that is not what its role says.
pub(super) fn standing(core: &Core, identity: &Identity) -> String {
    let mut words = Vec::new();
    if !core.membership().has(core.id()) {
        words.push("no member");
    } else {
        words.extend((!core.is_voter()).then_some("learner"));
        words.extend((!core.is_member()).then_some("has to rejoin"));
    }
    if identity.is_expelled {
        words.push("expelled");
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

//! Whose messages a node takes. A voter is a pair of id and incarnation: a node whose folder was wiped has another incarnation, so
//! it cannot vote, or acknowledge anything, on behalf of the node that it was.
//!
//! The check is a pure function of the [`Sender`] of a message and of what the receiver is. The host applies it before a message
//! reaches the core.

use traitwire::log::Excerpt;

use super::bugs::Bug;
use crate::services::raft::{ClusterId, Incarnation, Index, Membership, NodeId, Sender};

/// What a node is when it receives a message.
#[derive(Clone, Copy, Debug)]
pub struct Receiver<'a> {
    /// The name of its cluster.
    pub cluster: &'a str,
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// Its id.
    pub id: NodeId,
    /// Its incarnation, if its folder has one.
    pub incarnation: Option<Incarnation>,
    /// The id of its cluster, once that is certain: it founded the cluster, was admitted to it, was started to join it, or a
    /// committed entry names it. An id from an entry that is not committed does not belong here, since it may be removed; a
    /// sender may name it.
    pub cluster_id: Option<ClusterId>,
    /// The newest membership in its log or snapshot, committed or not.
    pub membership: &'a Membership,
    /// The index of the entry from which that membership comes.
    pub membership_index: Index,
    /// The newest membership that it knows to be committed. A member of it is heard even if the newest one does not name it: that
    /// one may still be replaced by a leader which it removes.
    pub committed: &'a Membership,
    /// Whether its folder has neither entries nor a snapshot.
    pub log_is_empty: bool,
}

/// What a receiver makes of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The message may reach the core.
    Accepted,
    /// The receiver is new and belongs to this cluster from now on. The message may reach the core once that is on the
    /// receiver's disk.
    Adopt(ClusterId),
    /// The message must not reach the core.
    Refused(SenderRefusal),
}

/// Why a message must not reach the core.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SenderRefusal {
    /// The nodes belong to clusters with different names.
    #[error("this node belongs to the cluster `{own}`, not to `{theirs}`")]
    ClusterName {
        /// The name of the receiver's cluster.
        own: String,
        /// The name that the message has, shortened.
        theirs: String,
    },
    /// The nodes speak different versions of the protocol.
    #[error("this node speaks version {own} of the protocol, not {theirs}")]
    Protocol {
        /// The version of the receiver.
        own: u32,
        /// The version of the message.
        theirs: u32,
    },
    /// The message is for another node.
    #[error("this is node {own}, not node {meant}: check the URLs of the peers")]
    Receiver {
        /// The receiver.
        own: NodeId,
        /// For whom the message is.
        meant: NodeId,
    },
    /// The sender claims to be the receiver.
    #[error("this is node {id} itself: another node uses its id")]
    OwnId {
        /// The receiver.
        id: NodeId,
    },
    /// The message is for an earlier or later life of this node.
    #[error(
        "node {id} does not have the data folder that the message is for (incarnation {meant}): it was wiped or replaced, and \
         must rejoin the cluster"
    )]
    OtherIncarnation {
        /// The receiver.
        id: NodeId,
        /// For which incarnation the message is.
        meant: Incarnation,
    },
    /// The message does not say for which incarnation it is, although its sender or its receiver requires that.
    #[error(
        "the message does not say for which incarnation of node {id} it is: the node is not a member yet"
    )]
    NoIncarnation {
        /// The receiver.
        id: NodeId,
    },
    /// The nodes belong to different clusters.
    #[error("this node belongs to the cluster {own}, and node {from} to {}: check the URLs of the peers", named(*theirs))]
    OtherCluster {
        /// The receiver's cluster.
        own: ClusterId,
        /// The sender.
        from: NodeId,
        /// The sender's cluster.
        theirs: Option<ClusterId>,
    },
    /// The sender is not a member: it was removed, or never added.
    #[error("node {from} is not a member of the cluster: it was removed, or has not been added")]
    NotMember {
        /// The sender.
        from: NodeId,
    },
    /// A member has the sender's id and another incarnation: the sender was wiped, or another node has taken its place.
    #[error("node {from} has been replaced: the member with this id has another incarnation")]
    Replaced {
        /// The sender.
        from: NodeId,
    },
}

fn named(cluster: Option<ClusterId>) -> String {
    cluster.map_or_else(|| "one without an id".to_owned(), |id| id.to_string())
}

impl SenderRefusal {
    /// A short name of the reason, by which refusals are counted and logged once.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClusterName { .. } => "cluster",
            Self::Protocol { .. } => "protocol",
            Self::Receiver { .. } => "receiver",
            Self::OwnId { .. } => "own_id",
            Self::OtherIncarnation { .. } => "incarnation",
            Self::NoIncarnation { .. } => "no_incarnation",
            Self::OtherCluster { .. } => "cluster_id",
            Self::NotMember { .. } => "not_member",
            Self::Replaced { .. } => "replaced",
        }
    }

    /// Whether the sender learns from this that it is not a member of the cluster any more.
    pub fn expels_sender(&self) -> bool {
        match self {
            Self::NotMember { .. } | Self::Replaced { .. } => true,
            Self::ClusterName { .. }
            | Self::Protocol { .. }
            | Self::Receiver { .. }
            | Self::OwnId { .. }
            | Self::OtherIncarnation { .. }
            | Self::NoIncarnation { .. }
            | Self::OtherCluster { .. } => false,
        }
    }
}

impl Receiver<'_> {
    /// Whether a message from `sender` may reach the core.
    pub fn admit(&self, sender: &Sender) -> Admission {
        self.admit_unless(sender, |_| false)
    }

    /// The same with a bug in it.
    #[cfg(feature = "bugs")]
    pub fn admit_with_bug(&self, sender: &Sender, bug: Option<Bug>) -> Admission {
        self.admit_unless(sender, |it| bug == Some(it))
    }

    fn admit_unless(&self, sender: &Sender, has: impl Fn(Bug) -> bool) -> Admission {
        let refused = self
            .wrong_address(sender)
            // Between clusters everything else differs too, and this is what an operator needs to hear.
            .or_else(|| self.wrong_cluster(sender).filter(|_| !has(Bug::AcceptOtherCluster)))
            .or_else(|| self.wrong_incarnation(sender).filter(|_| !has(Bug::AcceptOtherIncarnation)))
            .or_else(|| self.wrong_sender(sender).filter(|_| !has(Bug::AcceptOtherIncarnation)));
        match (refused, sender.cluster_id) {
            (Some(refusal), _) => Admission::Refused(refusal),
            (None, Some(theirs)) if self.cluster_id.is_none() && self.log_is_empty => {
                Admission::Adopt(theirs)
            }
            (None, _) => Admission::Accepted,
        }
    }

    fn wrong_address(&self, sender: &Sender) -> Option<SenderRefusal> {
        if sender.cluster != self.cluster {
            let theirs = Excerpt(&sender.cluster).to_string();
            return Some(SenderRefusal::ClusterName { own: self.cluster.to_owned(), theirs });
        }
        if sender.protocol != self.protocol {
            return Some(SenderRefusal::Protocol { own: self.protocol, theirs: sender.protocol });
        }
        if sender.to != self.id {
            return Some(SenderRefusal::Receiver { own: self.id, meant: sender.to });
        }
        (sender.from == self.id).then_some(SenderRefusal::OwnId { id: self.id })
    }

    fn wrong_incarnation(&self, sender: &Sender) -> Option<SenderRefusal> {
        let id = self.id;
        match sender.to_incarnation {
            Some(meant) => {
                (self.incarnation != Some(meant)).then_some(SenderRefusal::OtherIncarnation { id, meant })
            }
            // Versions without incarnations mean whatever node has the id. A node that may have been wiped must not answer
            // for the one that it was.
            None => {
                (sender.cluster_id.is_some() || self.is_new()).then_some(SenderRefusal::NoIncarnation { id })
            }
        }
    }

    fn wrong_cluster(&self, sender: &Sender) -> Option<SenderRefusal> {
        let (own, theirs) = (self.cluster_id?, sender.cluster_id);
        (theirs != Some(own)).then_some(SenderRefusal::OtherCluster { own, from: sender.from, theirs })
    }

    fn wrong_sender(&self, sender: &Sender) -> Option<SenderRefusal> {
        let from = sender.from;
        // A node may be behind the change that has added its leader. A leader that the newest membership does not name brings that
        // membership to the others until it is committed, and its own has the same index.
        let is_behind = sender.membership_index.is_some_and(|theirs| theirs >= self.membership_index);
        let is_known = |membership: &Membership| is_member(membership, sender);
        if self.is_new() || is_behind || is_known(self.membership) || is_known(self.committed) {
            return None;
        }
        Some(match self.membership.has(from) {
            true => SenderRefusal::Replaced { from },
            false => SenderRefusal::NotMember { from },
        })
    }

    /// Whether the node has never belonged to a cluster, as far as it knows.
    fn is_new(&self) -> bool {
        self.membership.nodes().is_empty()
    }
}

/// Whether a membership names a sender with its incarnation.
fn is_member(membership: &Membership, sender: &Sender) -> bool {
    let known = membership.member(sender.from).and_then(|member| member.incarnation);
    // Without a cluster id the members may come from a version without incarnations.
    let is_same = known == sender.from_incarnation || known.is_none() && membership.cluster_id.is_none();
    membership.has(sender.from) && is_same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::Member;

    const OWN: Incarnation = Incarnation(1);
    const CLUSTER: ClusterId = ClusterId(0xc);

    fn member(id: NodeId, incarnation: u128) -> Member {
        let goal = crate::services::raft::Goal::Vote;
        Member { id, incarnation: Some(Incarnation(incarnation)), url: String::new(), goal }
    }

    /// Nodes 1, 2 and 3 with the incarnations 1, 2 and 3.
    fn membership() -> Membership {
        let members = (1..=3).map(|id| member(id, id.into())).collect();
        Membership { cluster_id: Some(CLUSTER), members, ..Membership::of(1..=3) }
    }

    /// Node 1, whose newest membership is from entry 5.
    fn node(membership: &Membership) -> Receiver<'_> {
        Receiver {
            cluster: "name",
            protocol: 1,
            id: 1,
            incarnation: Some(OWN),
            cluster_id: membership.cluster_id,
            membership,
            membership_index: 5,
            committed: membership,
            log_is_empty: false,
        }
    }

    /// Node 1 with a new folder.
    fn new_node(none: &Membership) -> Receiver<'_> {
        Receiver { cluster_id: None, membership_index: 0, log_is_empty: true, ..node(none) }
    }

    /// From node 2 to node 1, both as the membership names them.
    fn sender() -> Sender {
        Sender {
            cluster: "name".to_owned(),
            protocol: 1,
            from: 2,
            to: 1,
            cluster_id: Some(CLUSTER),
            from_incarnation: Some(Incarnation(2)),
            to_incarnation: Some(OWN),
            membership_index: Some(5),
        }
    }

    /// A sender of a version without incarnations.
    fn earlier_sender() -> Sender {
        Sender {
            cluster_id: None,
            from_incarnation: None,
            to_incarnation: None,
            membership_index: None,
            ..sender()
        }
    }

    fn kind(receiver: &Receiver<'_>, sender: &Sender) -> &'static str {
        match receiver.admit(sender) {
            Admission::Accepted => "accepted",
            Admission::Adopt(_) => "adopt",
            Admission::Refused(refusal) => refusal.kind(),
        }
    }

    #[test]
    fn a_member_is_heard_and_a_message_for_somebody_else_is_not() {
        let membership = membership();
        let node = node(&membership);
        assert_eq!(node.admit(&sender()), Admission::Accepted);
        let check = |sender: Sender, expected: &str| assert_eq!(kind(&node, &sender), expected);
        check(Sender { cluster: "other".to_owned(), ..sender() }, "cluster");
        check(Sender { protocol: 2, ..sender() }, "protocol");
        check(Sender { to: 3, ..sender() }, "receiver");
        check(Sender { from: 1, from_incarnation: Some(OWN), ..sender() }, "own_id");
        check(Sender { cluster_id: Some(ClusterId(0xd)), ..sender() }, "cluster_id");
        check(Sender { cluster_id: None, ..sender() }, "cluster_id");
    }

    /// A node with a new folder is another node: neither the one that it was nor its successor is answered for.
    #[test]
    fn a_message_for_another_incarnation_is_refused() {
        let (membership, none) = (membership(), Membership::default());
        let other = |to_incarnation| Sender { to_incarnation, ..sender() };
        for receiver in [node(&membership), new_node(&none)] {
            assert_eq!(kind(&receiver, &other(Some(Incarnation(9)))), "incarnation");
            assert_eq!(kind(&receiver, &other(None)), "no_incarnation");
        }
        let without = Receiver { incarnation: None, ..node(&membership) };
        assert_eq!(kind(&without, &sender()), "incarnation");
    }

    #[test]
    fn a_new_node_belongs_to_the_first_cluster_that_names_its_incarnation() {
        let none = Membership::default();
        let node = new_node(&none);
        assert_eq!(node.admit(&sender()), Admission::Adopt(CLUSTER));
        let bound = Receiver { cluster_id: Some(CLUSTER), ..node };
        assert_eq!(bound.admit(&sender()), Admission::Accepted);
        let other = Sender { cluster_id: Some(ClusterId(0xd)), ..sender() };
        assert_eq!(kind(&bound, &other), "cluster_id");
    }

    #[test]
    fn a_sender_must_be_the_member_that_it_claims_to_be() {
        let membership = membership();
        let node = node(&membership);
        let from = |from, incarnation, index| Sender {
            from,
            from_incarnation: Some(Incarnation(incarnation)),
            membership_index: index,
            ..sender()
        };
        assert_eq!(kind(&node, &from(3, 3, Some(5))), "accepted");
        assert_eq!(kind(&node, &from(3, 3, None)), "accepted");
        assert_eq!(kind(&node, &from(4, 4, Some(4))), "not_member");
        assert_eq!(kind(&node, &from(4, 4, None)), "not_member");
        assert_eq!(kind(&node, &from(3, 9, Some(4))), "replaced");
        let nameless = Sender { from_incarnation: None, membership_index: Some(4), ..sender() };
        assert_eq!(kind(&node, &nameless), "replaced");
        // The sender knows a later change, which may have added it.
        assert_eq!(kind(&node, &from(4, 4, Some(6))), "accepted");
        assert_eq!(kind(&node, &from(3, 9, Some(6))), "accepted");
    }

    /// A leader that has removed itself still has to bring that change to the others.
    #[test]
    fn a_leader_is_heard_that_the_newest_membership_removes() {
        let before = membership();
        let after = Membership { members: vec![member(1, 1), member(3, 3)], ..Membership::of([1, 3]) };
        let after = Membership { cluster_id: Some(CLUSTER), ..after };
        let node = |committed| Receiver { committed, ..node(&after) };
        let from_2 = |index| Sender { membership_index: Some(index), ..sender() };
        assert_eq!(kind(&node(&after), &from_2(5)), "accepted");
        assert_eq!(kind(&node(&after), &from_2(4)), "not_member");
        // Node 2 may lead a later term without the change, which then goes.
        assert_eq!(kind(&node(&before), &from_2(4)), "accepted");
    }

    /// A learner whose incarnation is not known yet is not heard: whoever takes its id would be believed.
    #[test]
    fn a_member_without_an_incarnation_is_not_heard() {
        let mut membership = membership();
        membership.members[1].incarnation = None;
        let node = node(&membership);
        let behind = Sender { membership_index: Some(4), ..sender() };
        assert_eq!(kind(&node, &behind), "replaced");
        let nameless = Sender { from_incarnation: None, ..sender() };
        assert_eq!(kind(&node, &nameless), "accepted");
    }

    /// Nodes of an earlier version name no incarnations and have no cluster id. Their cluster goes on until it is given one.
    #[test]
    fn nodes_of_an_earlier_version_understand_each_other_until_their_cluster_has_an_id() {
        let legacy = Membership::of(1..=3);
        let node = Receiver { membership_index: 0, ..node(&legacy) };
        assert_eq!(kind(&node, &earlier_sender()), "accepted");
        assert_eq!(kind(&node, &Sender { from: 4, ..earlier_sender() }), "not_member");
        // A leader of a new version brings the entry that gives the cluster its id. It counts once it is committed.
        assert_eq!(kind(&node, &sender()), "accepted");
        let undecided = Receiver { cluster_id: None, ..self::node(&membership()) }.admit(&Sender {
            cluster_id: None,
            membership_index: Some(0),
            ..sender()
        });
        assert_eq!(undecided, Admission::Accepted);
        let named = membership();
        assert_eq!(kind(&self::node(&named), &earlier_sender()), "cluster_id");
    }

    /// An empty folder in a cluster of an earlier version proves nothing either.
    #[test]
    fn a_new_node_answers_nobody_who_does_not_name_its_incarnation() {
        let none = Membership::default();
        assert_eq!(kind(&new_node(&none), &earlier_sender()), "no_incarnation");
        let named = Sender { to_incarnation: Some(OWN), ..earlier_sender() };
        assert_eq!(kind(&new_node(&none), &named), "accepted");
    }

    #[test]
    fn a_refusal_quotes_a_long_name_in_part() {
        let membership = membership();
        let long = Sender { cluster: "x".repeat(100_000), ..sender() };
        let Admission::Refused(refusal) = node(&membership).admit(&long) else { panic!("it is accepted") };
        assert!(refusal.to_string().len() < 1_000, "{refusal}");
    }

    #[test]
    fn a_sender_learns_that_it_was_removed_or_replaced() {
        let membership = membership();
        let expels = |sender| match node(&membership).admit(&sender) {
            Admission::Refused(refusal) => refusal.expels_sender(),
            Admission::Accepted | Admission::Adopt(_) => false,
        };
        let behind = || Sender { membership_index: Some(4), ..sender() };
        assert!(expels(Sender { from: 4, ..behind() }));
        assert!(expels(Sender { from_incarnation: Some(Incarnation(9)), ..behind() }));
        assert!(!expels(Sender { cluster_id: Some(ClusterId(0xd)), ..sender() }));
        assert!(!expels(sender()));
    }

    #[cfg(feature = "bugs")]
    #[test]
    fn a_bug_lets_in_what_must_stay_out() {
        let membership = membership();
        let node = node(&membership);
        let wiped = Sender { to_incarnation: Some(Incarnation(9)), ..sender() };
        let stranger = Sender { cluster_id: Some(ClusterId(0xd)), ..sender() };
        let admits = |sender: &Sender, bug| node.admit_with_bug(sender, bug) == Admission::Accepted;
        assert!(admits(&wiped, Some(Bug::AcceptOtherIncarnation)) && !admits(&wiped, None));
        assert!(admits(&stranger, Some(Bug::AcceptOtherCluster)) && !admits(&stranger, None));
    }
}

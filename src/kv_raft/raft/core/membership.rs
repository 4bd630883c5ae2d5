//! Who counts: majorities of a membership.

use std::collections::BTreeSet;

use crate::services::raft::{Member, Membership, NodeId};

/// The nodes of a membership, at most.
pub const MEMBERS_MAX: usize = 64;

/// The bytes of a member's URL, at most.
pub const URL_BYTES_MAX: usize = 2_048;

impl Membership {
    /// A cluster of these nodes, all of which vote.
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let mut voters: Vec<_> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        Self { voters, ..Self::default() }
    }

    /// Whether `node` has a vote.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether `node` belongs to the cluster, with a vote or without.
    pub fn has(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// What is known of a node.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == node)
    }

    /// Whether the voters are changing, so that both the old and the new ones decide.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// All nodes, each once, in order.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<_> =
            self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// What is wrong with a membership that another node sends; the text continues a sentence that names it.
    pub fn problem(&self) -> Option<String> {
        let Self { voters, outgoing, learners, members, incoming, .. } = self;
        if voters.is_empty() {
            return Some("has no voters".to_owned());
        }
        for list in [voters, outgoing, learners] {
            let mut seen = BTreeSet::new();
            if let Some(twice) = list.iter().find(|node| !seen.insert(**node)) {
                return Some(format!("names node {twice} twice"));
            }
        }
        if let Some(node) = learners.iter().find(|node| self.is_voter(**node)) {
            return Some(format!("names node {node} as a voter and as a learner"));
        }
        if self.nodes().len().max(members.len()) > MEMBERS_MAX {
            return Some(format!("has more than {MEMBERS_MAX} nodes"));
        }
        if !members.is_sorted_by(|one, next| one.id < next.id) {
            return Some("describes its members out of order".to_owned());
        }
        let mut described = members.iter().chain(incoming.as_deref());
        let long = described.find(|member| member.url.len() > URL_BYTES_MAX)?;
        Some(format!("has a URL of more than {URL_BYTES_MAX} bytes for node {}", long.id))
    }

    /// Whether the nodes that `has` names are a majority of the voters, while those change of the old and of the new ones.
    pub fn has_quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        let majority =
            |voters: &[NodeId]| 2 * voters.iter().filter(|voter| has(**voter)).count() > voters.len();
        majority(&self.voters) && (self.outgoing.is_empty() || majority(&self.outgoing))
    }

    /// The highest number that a majority has reached, where `reached` gives how far a node is.
    pub fn quorum_value(&self, reached: impl Fn(NodeId) -> u64) -> u64 {
        let of = |voters: &[NodeId]| {
            let mut values: Vec<_> = voters.iter().map(|voter| reached(*voter)).collect();
            values.sort_unstable();
            // Of 3 the second, of 4 the second, of 5 the third from above or below: that many and more are a majority.
            values.get((values.len().max(1) - 1) / 2).copied().unwrap_or(0)
        };
        let value = of(&self.voters);
        if self.outgoing.is_empty() { value } else { value.min(of(&self.outgoing)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(membership: &Membership, values: &[u64], expected: u64) {
        let reached = |node: NodeId| values[usize::try_from(node).unwrap() - 1];
        assert_eq!(membership.quorum_value(reached), expected, "{values:?}");
        // Both functions mean the same majority.
        assert!(membership.has_quorum(|node| reached(node) >= expected));
        assert!(!membership.has_quorum(|node| reached(node) > expected));
    }

    #[test]
    fn the_quorum_value_is_what_a_majority_has_reached() {
        check(&Membership::of([1]), &[4], 4);
        check(&Membership::of([1, 2]), &[4, 3], 3);
        check(&Membership::of([1, 2, 3]), &[4, 2, 3], 3);
        check(&Membership::of(1..=4), &[4, 1, 2, 3], 2);
        check(&Membership::of(1..=5), &[9, 9, 2, 3, 1], 3);
    }

    #[test]
    fn a_membership_that_no_leader_can_have_made_is_found_out() {
        let member =
            |id, url: String| Member { id, incarnation: None, url, goal: crate::services::raft::Goal::Vote };
        let check = |membership: Membership, expected: &str| {
            let problem = membership.problem().unwrap_or_default();
            assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{problem}");
        };
        let of = |voters: &[NodeId]| Membership::of(voters.iter().copied());
        check(of(&[1, 2, 3]), "");
        check(Membership { outgoing: vec![1, 2], learners: vec![4], ..of(&[2, 3]) }, "");
        check(Membership { learners: vec![1], ..Membership::default() }, "no voters");
        check(Membership { voters: vec![1, 2, 1], ..of(&[]) }, "node 1 twice");
        check(Membership { learners: vec![3, 3], ..of(&[1]) }, "node 3 twice");
        check(Membership { learners: vec![2], outgoing: vec![2], ..of(&[1]) }, "node 2 as a voter");
        check(Membership::of(1..=65), "more than 64");
        let members = |ids: [NodeId; 2]| ids.map(|id| member(id, String::new())).to_vec();
        check(Membership { members: members([1, 2]), ..of(&[1, 2]) }, "");
        check(Membership { members: members([2, 1]), ..of(&[1, 2]) }, "out of order");
        check(Membership { members: members([1, 1]), ..of(&[1]) }, "out of order");
        check(Membership { incoming: Some(Box::new(member(1, "x".repeat(2_049)))), ..of(&[1]) }, "URL");
    }

    #[test]
    fn while_voters_change_both_majorities_are_needed() {
        let membership = Membership { outgoing: vec![1, 2, 3], ..Membership::of([3, 4, 5]) };
        check(&membership, &[9, 9, 1, 7, 5], 5);
        check(&membership, &[1, 1, 9, 9, 9], 1);
    }
}

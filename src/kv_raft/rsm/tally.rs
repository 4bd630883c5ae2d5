//! Which state is right where the nodes have come to different ones: that of a majority.

use std::collections::BTreeMap;

use crate::services::raft::{Index, Membership, NodeId, StateDigest};

/// At how many indices the digests are kept; of more, those of the lowest one go.
const INDICES_MAX: usize = 32;

/// What the nodes have said that their states have come to.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Index, BTreeMap<NodeId, u32>>);

/// What the digests at an index say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A majority has come to this digest: the nodes that did, and whether all that are heard did.
    Agreed { digest: u32, nodes: Vec<NodeId>, unanimous: bool },
    /// There is no majority, whatever the nodes say that were not heard.
    Disputed,
    /// Too few nodes are heard, and those that were differ or do not.
    Open { differs: bool },
}

impl Tally {
    pub(super) fn add(&mut self, node: NodeId, StateDigest { index, digest }: StateDigest) {
        self.0.entry(index).or_default().insert(node, digest);
        if self.0.len() > INDICES_MAX {
            self.0.pop_first();
        }
    }

    /// The indices above `after` with digests.
    pub(super) fn indices(&self, after: Index) -> Vec<Index> {
        self.0.range(after.saturating_add(1)..).map(|(index, _)| *index).collect()
    }

    /// Forgets the digests up to `index`.
    pub(super) fn forget(&mut self, index: Index) {
        self.0 = self.0.split_off(&index.saturating_add(1));
    }

    pub(super) fn outcome(&self, index: Index, membership: &Membership) -> Outcome {
        let Some(votes) = self.0.get(&index) else {
            return Outcome::Open { differs: false };
        };
        let mut groups: BTreeMap<u32, Vec<NodeId>> = BTreeMap::new();
        for (node, digest) in votes.iter().filter(|(node, _)| membership.is_voter(**node)) {
            groups.entry(*digest).or_default().push(*node);
        }
        for (digest, nodes) in &groups {
            if membership.has_quorum(|node| nodes.contains(&node)) {
                let unanimous = groups.len() == 1;
                return Outcome::Agreed { digest: *digest, nodes: nodes.clone(), unanimous };
            }
        }
        let may_agree = |nodes: &[NodeId]| {
            membership.has_quorum(|node| nodes.contains(&node) || !votes.contains_key(&node))
        };
        if may_agree(&[]) || groups.values().any(|nodes| may_agree(nodes)) {
            Outcome::Open { differs: groups.len() > 1 }
        } else {
            Outcome::Disputed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of nodes 1, 2 and so on; `-` for one that is not heard.
    fn check(digests: &str, expected: &str) {
        let mut tally = Tally::default();
        let nodes = digests.chars().count() as u64;
        for (node, letter) in (1..).zip(digests.chars()).filter(|(_, letter)| *letter != '-') {
            tally.add(node, StateDigest { index: 8, digest: u32::from(letter) });
        }
        let outcome = match tally.outcome(8, &Membership::of(1..=nodes)) {
            Outcome::Agreed { digest, unanimous, .. } => {
                format!("{}{}", char::from_u32(digest).unwrap(), if unanimous { "" } else { "!" })
            }
            Outcome::Disputed => "disputed".to_owned(),
            Outcome::Open { differs: false } => "open".to_owned(),
            Outcome::Open { differs: true } => "open!".to_owned(),
        };
        assert_eq!(outcome, expected, "{digests}");
    }

    #[test]
    fn the_majority_decides() {
        check("a", "a");
        check("ab", "disputed");
        check("a-", "open");
        check("aaa", "a");
        check("aa-", "a");
        check("a--", "open");
        check("ab-", "open!");
        check("baa", "a!");
        check("abc", "disputed");
        check("aabb", "disputed");
        check("aab-", "open!");
        check("aabbc", "disputed");
        check("aab--", "open!");
        check("abc--", "open!");
        check("abcd-", "disputed");
        check("bbaaa", "a!");
        check("b-aaa", "a!");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut tally = Tally::default();
        for index in 1..=1_000 {
            tally.add(1, StateDigest { index, digest: 0 });
        }
        assert_eq!(tally.indices(0).len(), INDICES_MAX);
        tally.forget(999);
        assert_eq!(tally.indices(0), [1_000]);
        assert_eq!(tally.outcome(5, &Membership::of(1..=3)), Outcome::Open { differs: false });
    }
}

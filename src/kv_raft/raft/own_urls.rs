//! Where a node reaches the others: at the URLs of its command line, which go before those that the cluster knows.

use std::collections::BTreeMap;

use crate::services::raft::{Member, Membership, NodeId};

/// The URLs of a node's command line, each until its id belongs to another node.
///
/// An id whose node was removed may be given to another one, at another place. A URL of the command line that is from before
/// that must not hide where the new node is. Nor must one that the cluster had too, before the node moved.
#[derive(Debug, Default)]
pub(in crate::kv_raft) struct OwnUrls {
    urls: BTreeMap<NodeId, String>,
    /// What was known last of each member, also of those that have left.
    seen: BTreeMap<NodeId, Member>,
}

impl OwnUrls {
    pub(in crate::kv_raft) fn new(urls: &BTreeMap<NodeId, String>) -> Self {
        Self { urls: urls.clone(), seen: BTreeMap::new() }
    }

    /// Takes in who belongs to the cluster now.
    pub(in crate::kv_raft) fn follow(&mut self, membership: &Membership) {
        let is_first = self.seen.is_empty();
        for member in &membership.members {
            let is_outdated = match self.seen.get(&member.id) {
                Some(seen) => {
                    let has_left = seen.incarnation != member.incarnation
                        || self.urls.get(&member.id) == Some(&seen.url);
                    seen.incarnation.is_some() && seen.url != member.url && has_left
                }
                None => !is_first,
            };
            if is_outdated {
                self.urls.remove(&member.id);
            }
            self.seen.insert(member.id, member.clone());
        }
    }

    /// Where a member is.
    pub(in crate::kv_raft) fn of<'a>(&'a self, member: &'a Member) -> &'a str {
        self.urls.get(&member.id).unwrap_or(&member.url)
    }

    /// What the command line says of a node.
    pub(in crate::kv_raft) fn get(&self, node: NodeId) -> Option<&str> {
        self.urls.get(&node).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::{Goal, Incarnation};

    fn member(id: NodeId, incarnation: u128, url: &str) -> Member {
        let incarnation = Some(Incarnation(incarnation));
        Member { id, incarnation, url: url.to_owned(), goal: Goal::Vote }
    }

    /// Where nodes 1 to 4 are after these memberships, by a command line with nodes 1 to 3.
    fn after(memberships: &[&[Member]]) -> Vec<String> {
        let mut urls = OwnUrls::new(&(1..=3).map(|id| (id, format!("own-{id}"))).collect());
        for members in memberships {
            let members = members.to_vec();
            urls.follow(&Membership { members, ..Membership::default() });
        }
        memberships.last().unwrap().iter().map(|member| urls.of(member).to_owned()).collect()
    }

    #[test]
    fn a_url_of_the_command_line_holds_until_its_id_belongs_to_another_node() {
        let (one, two, three) = (member(1, 1, "a"), member(2, 2, "b"), member(3, 3, "c"));
        let founded: &[Member] = &[one.clone(), two.clone(), three.clone()];
        assert_eq!(after(&[founded]), ["own-1", "own-2", "own-3"]);
        // Node 3 has moved, or has come back at the same place without its data.
        for again in [member(3, 3, "d"), member(3, 9, "c")] {
            let changed = [one.clone(), two.clone(), again];
            assert_eq!(after(&[founded, &changed]), ["own-1", "own-2", "own-3"]);
        }
        // Node 3 has moved from where the command line says that it is.
        let at_own = [member(3, 3, "own-3")];
        let unknown = [Member { incarnation: None, ..at_own[0].clone() }];
        let elsewhere = [three.clone()];
        assert_eq!(after(&[&at_own, &at_own, &elsewhere]), ["c"]);
        assert_eq!(after(&[&unknown, &elsewhere]), ["own-3"]);
        // Its id belongs to another node, at once or after a while without it.
        let (without, other) = ([one.clone(), two.clone()], [one.clone(), two.clone(), member(3, 9, "d")]);
        assert_eq!(after(&[founded, &other]), ["own-1", "own-2", "d"]);
        assert_eq!(after(&[founded, &without, &other]), ["own-1", "own-2", "d"]);
        // The node was started when its cluster had no node 3.
        assert_eq!(after(&[&without, &other]), ["own-1", "own-2", "d"]);
        assert_eq!(after(&[founded, &[one, two, three, member(4, 4, "e")]])[3], "e");
    }
}

//! The list of the members, as a node sees them.

use std::time::Duration;

use crate::kv_raft::raft::core::{Core, Role};
use crate::services::member::{ChangeStep, MemberAddress, MemberChange, MemberInfo, MemberList, MemberRole};
use crate::services::raft::{Goal, Member, Membership, NodeId};

/// A member that has not answered the leader for this long counts as unreachable in lists.
const REACHABLE_WITHIN: Duration = Duration::from_secs(1);

/// The members as a core sees them.
pub(super) fn list(cluster: String, core: &Core, url: impl Fn(NodeId) -> Option<String>) -> MemberList {
    let membership = core.membership();
    let leads = core.role() == Role::Leader;
    let info = |id: NodeId| {
        let member = membership.member(id);
        let is_learner = membership.learners.contains(&id) && !membership.is_voter(id);
        let (behind, reachable) = match core.progress(id) {
            _ if leads && id == core.id() => (Some(0), Some(true)),
            Some((matched, _)) => (
                Some(core.last_index().saturating_sub(matched)),
                core.silent_us(id).map(|us| Duration::from_micros(us) < REACHABLE_WITHIN),
            ),
            None => (None, None),
        };
        MemberInfo {
            id,
            incarnation: member.and_then(|member| member.incarnation),
            url: member.map(|member| member.url.clone()).or_else(|| url(id)),
            role: role(membership, core.leader(), id),
            goal: is_learner.then(|| member.map_or(Goal::Learn, |member| member.goal)),
            behind,
            reachable,
        }
    };
    MemberList {
        cluster,
        cluster_id: membership.cluster_id,
        node: core.id(),
        leader: core.leader(),
        index: core.membership_index(),
        joint: membership.is_joint(),
        in_progress: in_progress(membership),
        members: membership.nodes().into_iter().map(info).collect(),
    }
}

fn role(membership: &Membership, leader: Option<NodeId>, id: NodeId) -> MemberRole {
    if leader == Some(id) {
        MemberRole::Leader
    } else if membership.voters.contains(&id) {
        MemberRole::Voter
    } else if membership.outgoing.contains(&id) {
        MemberRole::Outgoing
    } else {
        MemberRole::Learner
    }
}

/// The change that a membership is in the middle of.
fn in_progress(membership: &Membership) -> Option<MemberChange> {
    if membership.is_joint() {
        return Some(MemberChange { id: changing(membership), step: ChangeStep::Joint });
    }
    let catches_up = |member: &&Member| {
        membership.learners.contains(&member.id) && matches!(member.goal, Goal::Vote | Goal::Replace(_))
    };
    let learner = membership.members.iter().find(catches_up)?;
    Some(MemberChange { id: Some(learner.id), step: ChangeStep::CatchingUp })
}

/// The member that a joint configuration is about.
fn changing(membership: &Membership) -> Option<NodeId> {
    let Membership { voters, outgoing, incoming, .. } = membership;
    let joins = voters.iter().find(|voter| !outgoing.contains(voter));
    let leaves = outgoing.iter().find(|voter| !voters.contains(voter));
    incoming.as_ref().map(|member| member.id).or_else(|| joins.or(leaves).copied())
}

/// The members with these ids and their URLs.
pub(super) fn addresses(list: &MemberList, ids: &[NodeId]) -> Vec<MemberAddress> {
    let url = |id| list.members.iter().find(|member| member.id == id).and_then(|member| member.url.clone());
    ids.iter().map(|id| MemberAddress { id: *id, url: url(*id) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(id: NodeId, goal: Goal) -> Member {
        Member { id, incarnation: None, url: format!("http://node-{id}:1"), goal }
    }

    #[test]
    fn the_change_in_progress_is_named() {
        let check = |membership: &Membership, id, step| {
            assert_eq!(in_progress(membership), Some(MemberChange { id, step }), "{membership:?}");
        };
        let three = || Membership::of([1, 2, 3]);
        assert_eq!(in_progress(&three()), None);
        let with = |goal| Membership { learners: vec![4], members: vec![learner(4, goal)], ..three() };
        assert_eq!(in_progress(&with(Goal::Learn)), None);
        check(&with(Goal::Vote), Some(4), ChangeStep::CatchingUp);
        check(&with(Goal::Replace(2)), Some(4), ChangeStep::CatchingUp);
        let joint = |voters: [NodeId; 3]| Membership { outgoing: vec![1, 2, 3], ..Membership::of(voters) };
        check(&joint([1, 3, 4]), Some(4), ChangeStep::Joint);
        let leaves = Membership { outgoing: vec![1, 2, 3], ..Membership::of([1, 3]) };
        check(&leaves, Some(2), ChangeStep::Joint);
        let back = Membership { incoming: Some(Box::new(learner(2, Goal::Vote))), ..leaves };
        check(&back, Some(2), ChangeStep::Joint);
    }

    #[test]
    fn roles_are_those_of_the_newest_membership() {
        let membership =
            Membership { outgoing: vec![1, 2, 3], learners: vec![5], ..Membership::of([2, 3, 4]) };
        let roles = (1..=5).map(|id| role(&membership, Some(2), id));
        use MemberRole::{Leader, Learner, Outgoing, Voter};
        assert_eq!(roles.collect::<Vec<_>>(), [Outgoing, Leader, Voter, Voter, Learner]);
    }
}

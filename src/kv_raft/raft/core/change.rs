//! What a change makes of a membership. Nothing here depends on a node's state.
//!
//! Every change of voters passes through a joint configuration (Raft, 6), which is left by [`Membership::left`].

use super::bugs::Bug;
use super::io::{Change, ChangeRefusal};
use super::membership::{MEMBERS_MAX, URL_BYTES_MAX};
use crate::services::raft::{Goal, Member, Membership, NodeId};

/// What must be done for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: the membership is as it should be.
    Nothing,
    /// This membership takes the place of the one before.
    Next(Box<Membership>),
}

impl Step {
    fn next(membership: Membership) -> Self {
        Self::Next(Box::new(membership))
    }
}

impl Membership {
    /// The first step of a change that the leader `own` is asked for. This membership is not joint.
    pub(super) fn changed(
        &self,
        change: &Change,
        own: NodeId,
        has: impl Fn(Bug) -> bool,
    ) -> Result<Step, ChangeRefusal> {
        let step = match change {
            Change::Add(member) => self.with_added(member)?,
            Change::Promote(node) => self.with_goal_vote(*node)?,
            Change::Remove(node) => self.without(*node)?,
            Change::Rejoin(member) if has(Bug::RejoinKeepsVoter) => {
                Step::next(self.with_record(member.clone()))
            }
            Change::Rejoin(member) => self.with_rejoined(member, own)?,
            Change::Describe { cluster_id, members } => {
                let mut next = self.clone();
                next.cluster_id = self.cluster_id.or(*cluster_id);
                for member in members {
                    next.describe(member)?;
                }
                if next == *self { Step::Nothing } else { Step::next(next) }
            }
        };
        match &step {
            Step::Next(next) if next.is_too_large() => Err(ChangeRefusal::TooLarge),
            Step::Next(_) | Step::Nothing => Ok(step),
        }
    }

    fn is_too_large(&self) -> bool {
        let mut described = self.members.iter().chain(self.incoming.as_deref());
        self.nodes().len() > MEMBERS_MAX || described.any(|member| member.url.len() > URL_BYTES_MAX)
    }

    fn with_added(&self, member: &Member) -> Result<Step, ChangeRefusal> {
        if self.has(member.id) {
            return Err(ChangeRefusal::Exists(member.id));
        }
        self.check_record(member)?;
        if let Goal::Replace(old) = member.goal
            && !self.is_voter(old)
        {
            return Err(ChangeRefusal::NoMember(old));
        }
        let mut next = self.with_record(member.clone());
        insert(&mut next.learners, member.id);
        Ok(Step::next(next))
    }

    fn with_goal_vote(&self, node: NodeId) -> Result<Step, ChangeRefusal> {
        if !self.learners.contains(&node) {
            return Err(ChangeRefusal::NoMember(node));
        }
        match self.goal(node) {
            Goal::Vote => Ok(Step::Nothing),
            Goal::Learn | Goal::Replace(_) => {
                let record = self.member(node).cloned().unwrap_or_else(|| unknown(node));
                Ok(Step::next(self.with_record(Member { goal: Goal::Vote, ..record })))
            }
        }
    }

    fn without(&self, node: NodeId) -> Result<Step, ChangeRefusal> {
        if self.voters.contains(&node) {
            let mut next = self.joint();
            next.voters.retain(|voter| *voter != node);
            return if next.voters.is_empty() { Err(ChangeRefusal::LastVoter) } else { Ok(Step::next(next)) };
        }
        if !self.has(node) {
            return Err(ChangeRefusal::NoMember(node));
        }
        let mut next = self.clone();
        next.learners.retain(|learner| *learner != node);
        next.members.retain(|member| member.id != node);
        Ok(Step::next(next))
    }

    /// The dead incarnation stops counting before the new one counts. The old one may have voted in a later term, so a
    /// swap would let one voter vote twice.
    fn with_rejoined(&self, member: &Member, own: NodeId) -> Result<Step, ChangeRefusal> {
        let id = member.id;
        if !self.has(id) {
            return Err(ChangeRefusal::NoMember(id));
        }
        let known = self.member(id).and_then(|known| known.incarnation);
        if known.is_some() && known == member.incarnation {
            let mut next = self.clone();
            next.describe(member)?;
            return Ok(if next == *self { Step::Nothing } else { Step::next(next) });
        }
        // A leader has not been wiped: somebody else uses its id.
        if id == own {
            return Err(ChangeRefusal::Exists(id));
        }
        self.check_record(member)?;
        if self.voters.contains(&id) {
            return self.with_demoted(Member { goal: Goal::Vote, ..member.clone() }).map(Step::next);
        }
        // It goes on with what it was to become.
        Ok(Step::next(self.with_record(Member { goal: self.goal(id), ..member.clone() })))
    }

    /// The joint configuration that makes a learner of a voter.
    pub(super) fn with_demoted(&self, member: Member) -> Result<Self, ChangeRefusal> {
        let mut next = self.joint();
        next.voters.retain(|voter| *voter != member.id);
        next.incoming = Some(Box::new(member));
        if next.voters.is_empty() { Err(ChangeRefusal::LastVoter) } else { Ok(next) }
    }

    /// The joint configuration that makes a voter of a learner, in the place of another one if that is its goal.
    pub(super) fn with_promoted(&self, node: NodeId) -> Self {
        let mut next = self.joint();
        if let Goal::Replace(old) = self.goal(node) {
            next.voters.retain(|voter| *voter != old);
        }
        next.learners.retain(|learner| *learner != node);
        insert(&mut next.voters, node);
        next
    }

    /// The configuration that follows a joint one: the old voters are gone, unless they are to learn.
    pub(super) fn left(&self) -> Self {
        let mut next = Self { outgoing: Vec::new(), incoming: None, ..self.clone() };
        if let Some(incoming) = self.incoming.as_deref() {
            insert(&mut next.learners, incoming.id);
            next = next.with_record(incoming.clone());
        }
        let nodes = next.nodes();
        next.members.retain(|member| nodes.contains(&member.id));
        for member in &mut next.members {
            let is_gone = |old: NodeId| !next.voters.contains(&old);
            match member.goal {
                Goal::Replace(old) if next.voters.contains(&member.id) || is_gone(old) => {
                    member.goal = Goal::Vote;
                }
                Goal::Learn | Goal::Vote | Goal::Replace(_) => {}
            }
        }
        next
    }

    /// A joint configuration whose new voters are still the old ones.
    fn joint(&self) -> Self {
        Self { outgoing: self.voters.clone(), ..self.clone() }
    }

    /// In a joint configuration: the node that it is about.
    pub(super) fn changing_voter(&self) -> Option<NodeId> {
        let is_new = |node: &NodeId| !self.outgoing.contains(node);
        let is_old = |node: &NodeId| !self.voters.contains(node);
        let new = self.voters.iter().copied().find(is_new);
        new.or_else(|| self.outgoing.iter().copied().find(is_old))
    }

    /// What becomes of a learner once it has caught up.
    pub(super) fn goal(&self, node: NodeId) -> Goal {
        self.member(node).map_or(Goal::Learn, |member| member.goal)
    }

    /// The learners that are to become voters.
    pub(super) fn candidates(&self) -> impl Iterator<Item = NodeId> {
        let is_candidate = |node: &NodeId| match self.goal(*node) {
            Goal::Vote | Goal::Replace(_) => self.is_bound(*node),
            Goal::Learn => false,
        };
        self.learners.iter().copied().filter(is_candidate)
    }

    /// Whether it is known which node has this id. Until then nothing is sent to it, since any node could answer.
    pub(super) fn is_bound(&self, node: NodeId) -> bool {
        self.cluster_id.is_none() || self.member(node).is_some_and(|member| member.incarnation.is_some())
    }

    fn with_record(&self, member: Member) -> Self {
        let mut next = self.clone();
        match next.members.binary_search_by_key(&member.id, |known| known.id) {
            Ok(place) => next.members[place] = member,
            Err(place) => next.members.insert(place, member),
        }
        next
    }

    /// No two members have the same incarnation or URL.
    fn check_record(&self, member: &Member) -> Result<(), ChangeRefusal> {
        let clashes = |known: &&Member| {
            let same_incarnation = known.incarnation.is_some() && known.incarnation == member.incarnation;
            let same_url = !member.url.is_empty() && known.url == member.url;
            known.id != member.id && (same_incarnation || same_url)
        };
        self.members.iter().find(clashes).map_or(Ok(()), |known| Err(ChangeRefusal::Exists(known.id)))
    }

    /// Takes in what is known of a member. Its incarnation stays, once it is known, and so does its goal.
    fn describe(&mut self, member: &Member) -> Result<(), ChangeRefusal> {
        let id = member.id;
        if !self.has(id) {
            return Err(ChangeRefusal::NoMember(id));
        }
        let known = self.member(id).cloned().unwrap_or_else(|| unknown(id));
        if known.incarnation.is_some()
            && member.incarnation.is_some()
            && known.incarnation != member.incarnation
        {
            return Err(ChangeRefusal::Exists(id));
        }
        self.check_record(member)?;
        let incarnation = known.incarnation.or(member.incarnation);
        *self = self.with_record(Member { id, incarnation, url: member.url.clone(), goal: known.goal });
        Ok(())
    }
}

fn unknown(id: NodeId) -> Member {
    Member { id, incarnation: None, url: String::new(), goal: Goal::Learn }
}

fn insert(nodes: &mut Vec<NodeId>, node: NodeId) {
    if let Err(place) = nodes.binary_search(&node) {
        nodes.insert(place, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::{ClusterId, Incarnation};

    fn member(id: NodeId, incarnation: u128, goal: Goal) -> Member {
        Member {
            id,
            incarnation: Some(Incarnation(incarnation)),
            url: format!("http://n{incarnation}"),
            goal,
        }
    }

    fn cluster(voters: &[NodeId]) -> Membership {
        let members = voters.iter().map(|id| member(*id, (*id).into(), Goal::Vote)).collect();
        Membership { cluster_id: Some(ClusterId(7)), members, ..Membership::of(voters.iter().copied()) }
    }

    fn change(membership: &Membership, change: &Change) -> Result<Step, ChangeRefusal> {
        membership.changed(change, 1, |_| false)
    }

    fn next(membership: &Membership, it: &Change) -> Membership {
        match change(membership, it) {
            Ok(Step::Next(next)) => {
                assert_eq!(next.problem(), None);
                *next
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_node_learns_and_then_votes_in_a_joint_configuration() {
        let learning = next(&cluster(&[1, 2]), &Change::Add(member(3, 3, Goal::Vote)));
        assert_eq!((learning.voters.as_slice(), learning.learners.as_slice()), (&[1, 2][..], &[3][..]));
        assert_eq!(learning.candidates().collect::<Vec<_>>(), [3]);
        let joint = learning.with_promoted(3);
        assert_eq!((joint.voters.as_slice(), joint.outgoing.as_slice()), (&[1, 2, 3][..], &[1, 2][..]));
        assert_eq!(joint.left(), cluster(&[1, 2, 3]));
    }

    #[test]
    fn a_replaced_node_leaves_with_the_joint_configuration() {
        let learning = next(&cluster(&[1, 2, 3]), &Change::Add(member(4, 4, Goal::Replace(2))));
        let joint = learning.with_promoted(4);
        assert_eq!((joint.voters.as_slice(), joint.outgoing.as_slice()), (&[1, 3, 4][..], &[1, 2, 3][..]));
        assert!(joint.member(2).is_some(), "it is still sent what it needs");
        assert_eq!(joint.left(), cluster(&[1, 3, 4]));
    }

    #[test]
    fn a_removed_voter_counts_until_the_joint_configuration_is_left() {
        let joint = next(&cluster(&[1, 2, 3]), &Change::Remove(3));
        assert_eq!((joint.voters.as_slice(), joint.outgoing.as_slice()), (&[1, 2][..], &[1, 2, 3][..]));
        assert_eq!(joint.left(), cluster(&[1, 2]));
        let learning = next(&cluster(&[1, 2]), &Change::Add(member(3, 3, Goal::Learn)));
        assert_eq!(next(&learning, &Change::Remove(3)), cluster(&[1, 2]));
    }

    /// The old incarnation counts until the joint configuration is left, and the new one does not count before it has
    /// caught up.
    #[test]
    fn a_wiped_voter_comes_back_as_a_learner() {
        let joint = next(&cluster(&[1, 2, 3]), &Change::Rejoin(member(3, 33, Goal::Learn)));
        assert_eq!((joint.voters.as_slice(), joint.outgoing.as_slice()), (&[1, 2][..], &[1, 2, 3][..]));
        assert_eq!(joint.member(3).and_then(|it| it.incarnation), Some(Incarnation(3)));
        let left = joint.left();
        assert_eq!((left.voters.as_slice(), left.learners.as_slice()), (&[1, 2][..], &[3][..]));
        assert_eq!(left.member(3), Some(&member(3, 33, Goal::Vote)));
        // Wiped once more, it is a learner already.
        let again = next(&left, &Change::Rejoin(member(3, 34, Goal::Learn)));
        assert_eq!((again.is_joint(), again.member(3)), (false, Some(&member(3, 34, Goal::Vote))));
    }

    #[test]
    fn a_description_changes_urls_and_nothing_else() {
        let before = cluster(&[1, 2]);
        let moved = Member { url: "http://moved".to_owned(), ..member(2, 2, Goal::Learn) };
        let describe = |member: &Member| Change::Describe {
            cluster_id: Some(ClusterId(8)),
            members: vec![member.clone()],
        };
        let after = next(&before, &describe(&moved));
        assert_eq!(after.member(2).map(|it| (it.url.as_str(), it.goal)), Some(("http://moved", Goal::Vote)));
        assert_eq!(after.cluster_id, Some(ClusterId(7)));
        assert_eq!(next(&before, &Change::Rejoin(moved.clone())), after);
        assert_eq!(change(&after, &describe(&moved)), Ok(Step::Nothing));
        assert_eq!(change(&after, &Change::Rejoin(moved)), Ok(Step::Nothing));
    }

    #[test]
    fn a_cluster_of_an_earlier_version_gets_an_id_and_members() {
        let members = [1, 2].map(|id| member(id, id.into(), Goal::Vote)).to_vec();
        let named =
            next(&Membership::of([1, 2]), &Change::Describe { cluster_id: Some(ClusterId(7)), members });
        assert_eq!((named.cluster_id, named.members.len(), named.voters.len()), (Some(ClusterId(7)), 2, 2));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        use ChangeRefusal::{Exists, LastVoter, NoMember, TooLarge};
        let three = next(&cluster(&[1, 2]), &Change::Add(member(3, 3, Goal::Learn)));
        let check = |it: Change, refusal| assert_eq!(change(&three, &it), Err(refusal), "{it:?}");
        check(Change::Add(member(2, 9, Goal::Vote)), Exists(2));
        check(Change::Add(member(4, 3, Goal::Vote)), Exists(3));
        check(Change::Add(Member { url: "http://n2".to_owned(), ..member(4, 4, Goal::Vote) }), Exists(2));
        check(Change::Add(member(4, 4, Goal::Replace(3))), NoMember(3));
        check(Change::Add(Member { url: "x".repeat(2_049), ..member(4, 4, Goal::Vote) }), TooLarge);
        check(Change::Promote(2), NoMember(2));
        check(Change::Promote(4), NoMember(4));
        check(Change::Remove(4), NoMember(4));
        check(Change::Rejoin(member(4, 4, Goal::Vote)), NoMember(4));
        check(Change::Rejoin(member(1, 9, Goal::Vote)), Exists(1));
        let members = vec![member(2, 9, Goal::Vote)];
        check(Change::Describe { cluster_id: None, members }, Exists(2));
        assert_eq!(change(&cluster(&[1]), &Change::Remove(1)), Err(LastVoter));
        let full = cluster(&(1..=64).collect::<Vec<_>>());
        assert_eq!(change(&full, &Change::Add(member(65, 65, Goal::Learn))), Err(TooLarge));
    }

    /// Nobody knows yet which node has that id, so nothing is sent to it.
    #[test]
    fn a_learner_that_was_never_reached_is_no_candidate() {
        let absent = Member { incarnation: None, ..member(3, 3, Goal::Vote) };
        let waiting = next(&cluster(&[1, 2]), &Change::Add(absent));
        assert_eq!((waiting.candidates().count(), waiting.is_bound(3)), (0, false));
        let bound = next(&waiting, &Change::Rejoin(member(3, 3, Goal::Learn)));
        assert_eq!((bound.candidates().collect::<Vec<_>>(), bound.is_bound(3)), (vec![3], true));
    }
}

//! Who belongs to the cluster, and whose majority counts.

use super::*;

/// Node 1 of a cluster that its newest entry describes.
fn node_of(membership: Membership) -> Node {
    let payload = Payload::Membership(Box::new(membership));
    let restored = Restored { entries: vec![Entry { term: 4, payload }], ..restored(4, &[]) };
    Node::with(options(1, 3), restored)
}

/// From voters 1, 2 and 3 to 3, 4 and 5, with 6 that only learns.
fn joint() -> Membership {
    Membership { voters: vec![3, 4, 5], outgoing: vec![1, 2, 3], learners: vec![6], ..Membership::default() }
}

/// 6: while the voters change, who is elected has a majority of the old ones and a majority of the new ones.
#[test]
pub(super) fn both_majorities_elect() {
    let check = |votes: &[NodeId], wins: bool| {
        let mut node = node_of(joint());
        node.time_out();
        for from in votes {
            node.answer(*from, Reply::PreVote(VoteReply { term: 5, granted: true }));
        }
        let expected = if wins { Role::Candidate } else { Role::PreCandidate };
        assert_eq!(node.core.role(), expected, "{votes:?}");
        for from in votes {
            node.answer(*from, Reply::Vote(VoteReply { term: 5, granted: true }));
        }
        assert_eq!(node.core.role() == Role::Leader, wins, "{votes:?}");
    };
    check(&[2], false);
    check(&[4, 5], false);
    check(&[2, 4], false);
    check(&[2, 6], false);
    check(&[3], false);
    check(&[3, 4], true);
    check(&[2, 4, 5], true);
}

/// 6: and what is committed is on both majorities; a learner counts for nothing, but gets everything.
#[test]
pub(super) fn both_majorities_commit() {
    let check = |matched: &[NodeId], commits: bool| {
        let mut node = node_of(joint());
        node.time_out();
        for from in [2, 3, 4] {
            node.answer(from, Reply::PreVote(VoteReply { term: 5, granted: true }));
        }
        let mut effects = Effects::default();
        for from in [2, 3, 4] {
            if node.core.role() == Role::Candidate {
                effects = node.answer(from, Reply::Vote(VoteReply { term: 5, granted: true }));
            }
        }
        let told: Vec<_> = effects.requests.iter().map(|(to, _)| *to).collect();
        assert_eq!(told, [2, 3, 4, 5, 6]);
        for from in matched {
            node.matched(*from, 2);
        }
        assert_eq!(node.core.commit_index(), if commits { 2 } else { 0 }, "{matched:?}");
    };
    check(&[2, 6], false);
    check(&[4, 5, 6], false);
    check(&[3, 6], false);
    check(&[3, 5], true);
    check(&[2, 4, 5], true);
}

/// 6: an entry about the cluster counts from when it is in the log, and not any more when it is removed.
#[test]
pub(super) fn a_membership_counts_from_when_it_is_in_the_log() {
    let mut node = Node::new(3, 4, &[1]);
    let payload = Payload::Membership(Box::new(joint()));
    let args = AppendEntriesArgs {
        entries: vec![Entry { term: 4, payload }, Entry { term: 4, payload: Payload::Blank }],
        ..append(4, (1, 1), &[], 0)
    };
    node.appends(2, args);
    assert_eq!(*node.core.membership(), joint());
    node.appends(2, append(5, (2, 4), &[5], 0));
    assert_eq!(*node.core.membership(), joint());
    node.appends(2, append(6, (1, 1), &[6], 0));
    assert_eq!(*node.core.membership(), Membership::of(1..=3));
}

/// 6: who has no vote does not campaign, and nobody asks it for one.
#[test]
pub(super) fn who_has_no_vote_takes_no_part_in_elections() {
    let mut learner = node_of(Membership { learners: vec![1], ..Membership::of([2, 3]) });
    assert_eq!(learner.time_out(), Effects::default());
    assert_eq!(learner.core.role(), Role::Follower);
    let mut voter = node_of(joint());
    let effects = voter.time_out();
    let asked: Vec<_> = effects.requests.iter().map(|(to, _)| *to).collect();
    assert_eq!(asked, [2, 3, 4, 5]);
}

/// 6: a cluster of one elects itself and commits with its own disk.
#[test]
pub(super) fn one_node_is_a_majority_of_one() {
    let mut node = Node::new(1, 0, &[]);
    let effects = node.time_out();
    assert_eq!((node.core.role(), effects.requests.len()), (Role::Leader, 0));
    node.step(Input::Propose(vec![crate::services::raft::Command::new("a").unwrap()]));
    assert_eq!(node.core.commit_index(), 1);
}

/// Figure 2, persistent state: a term counts once it is on the disk; before, a crash may take it back.
#[test]
fn a_term_is_durable_once_it_is_written() {
    let mut core = Core::new(Options::new(1, Membership::of([1]), 1), Restored::default(), Time(0));
    core.step(Time(1_000_000), Input::Timeout);
    assert_eq!((core.term(), core.term_is_durable()), (1, false));
    core.step(Time(1_000_000), Input::Durable(1));
    assert!(core.term_is_durable());
}

/// Dissertation, 4.2.2: a voter that its newest membership removes campaigns until that one is known to be committed, since it may
/// be the only node that has it. Its own vote does not count.
#[test]
pub(super) fn a_removed_voter_leads_until_its_removal_is_committed() {
    let entry =
        |membership: Membership| Entry { term: 4, payload: Payload::Membership(Box::new(membership)) };
    // Node 1 is replaced by node 4: the joint configuration, and the one after it.
    let joint = Membership { outgoing: vec![1, 2], ..Membership::of([2, 4]) };
    let log = || Restored {
        entries: vec![entry(joint.clone()), entry(Membership::of([2, 4]))],
        ..restored(4, &[])
    };
    let mut node = Node::with(options(1, 2), log());
    node.time_out();
    assert_eq!(node.core.role(), Role::PreCandidate);
    node.answer(2, Reply::PreVote(VoteReply { term: 5, granted: true }));
    assert_eq!(node.core.role(), Role::PreCandidate, "its own vote counted");
    node.answer(4, Reply::PreVote(VoteReply { term: 5, granted: true }));
    for from in [2, 4] {
        node.answer(from, Reply::Vote(VoteReply { term: 5, granted: true }));
    }
    assert_eq!(node.core.role(), Role::Leader);

    let mut node = Node::with(options(1, 2), log());
    node.appends(2, append(4, (2, 4), &[], 2));
    node.time_out();
    assert_eq!(node.core.role(), Role::Follower, "its removal is committed");
}

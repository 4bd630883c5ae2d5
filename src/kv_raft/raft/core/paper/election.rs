//! Terms, votes and who may lead.

use super::*;
use crate::services::raft::{InstallSnapshotArgs, SnapshotBytes, SnapshotMeta};

/// Every request, in this term, for a log that ends at `(2, 1)`.
fn requests(term: Term) -> [Request; 5] {
    let snapshot = SnapshotMeta { last_index: 9, last_term: 1, membership: Box::new(Membership::of(1..=3)) };
    let data = SnapshotBytes::default();
    [
        Request::PreVote(candidate(term, (2, 1))),
        Request::Vote(candidate(term, (2, 1))),
        Request::Append(append(term, (2, 1), &[], 0)),
        Request::Snapshot(InstallSnapshotArgs { term, round: 1, snapshot, offset: 0, data, last: true }),
        Request::TimeoutNow(TimeoutNowArgs { term }),
    ]
}

/// A node of three in term 4, as a follower, a candidate and a leader.
fn in_every_role() -> [Node; 3] {
    let log = [1, 1];
    let follower = Node::new(3, 4, &log);
    let (mut candidate, mut leader) = (Node::new(3, 3, &log), Node::new(3, 3, &log));
    candidate.campaign();
    leader.lead();
    [follower, candidate, leader]
}

/// 5.1: a request of an old term is refused with the newer one, and changes nothing.
#[test]
pub(super) fn a_request_of_an_old_term_is_refused() {
    for index in 0..3 {
        for request in requests(3) {
            let node = &mut in_every_role()[index];
            node.ops.clear();
            let (role, log, deadline) = (node.core.role(), node.log(), node.core.next_deadline());
            let reply = node.ask(2, request).unwrap();
            let is_refused = match reply {
                Reply::PreVote(reply) | Reply::Vote(reply) => reply.term == 4 && !reply.granted,
                Reply::Append(reply) => reply.term == 4 && reply.outcome == AppendOutcome::OldTerm,
                Reply::Snapshot(reply) => reply.term == 4,
                Reply::TimeoutNow(reply) => reply.term == 4 && !reply.campaigns,
            };
            assert!(is_refused);
            let (term, after) = (node.core.term(), node.core.next_deadline());
            assert_eq!((node.core.role(), term, node.log(), after), (role, 4, log, deadline));
            assert_eq!(node.ops, []);
        }
    }
}

/// 5.1: whoever hears of a newer term enters it, and follows. Only a pre-vote is no news of a term, and a call to campaign
/// is believed from the leader of one's own term only; and a leader is disturbed by no candidate (dissertation, 4.2.3).
#[test]
pub(super) fn a_newer_term_is_entered() {
    for index in 0..3 {
        for request in requests(6) {
            let node = &mut in_every_role()[index];
            let leads = node.core.role() == Role::Leader;
            let expected = match request {
                Request::Append(_) | Request::Snapshot(_) => 6,
                Request::Vote(_) if !leads => 6,
                Request::Vote(_) | Request::PreVote(_) | Request::TimeoutNow(_) => 4,
            };
            let role = node.core.role();
            node.ask(2, request.clone());
            assert_eq!(node.core.term(), expected, "{role:?} {request:?}");
            assert_eq!(node.core.role(), if expected == 6 { Role::Follower } else { role });
        }
    }
}

/// 5.1: so does whoever is answered with a newer term.
#[test]
pub(super) fn a_newer_term_in_an_answer_ends_a_candidacy_and_a_leadership() {
    let vote = VoteReply { term: 6, granted: false };
    let appended = AppendEntriesReply { term: 6, round: 1, outcome: AppendOutcome::OldTerm, digest: None };
    for reply in [Reply::PreVote(vote.clone()), Reply::Vote(vote), Reply::Append(appended)] {
        for mut node in in_every_role() {
            node.answer(2, reply.clone());
            assert_eq!((node.core.term(), node.core.role()), (6, Role::Follower));
            assert_eq!(node.core.voted_for(), None);
        }
    }
}

/// 5.2: a node begins as a follower, whatever it was before.
#[test]
pub(super) fn a_node_begins_as_a_follower() {
    let voted = Restored { voted_for: Some(1), ..restored(5, &[1, 5]) };
    for restored in [Restored::default(), voted] {
        let node = Node::with(options(1, 3), restored.clone());
        let found = (node.core.term(), node.core.voted_for(), node.core.last_index());
        assert_eq!(found, (restored.term, restored.voted_for, restored.entries.len() as u64));
        assert_eq!(
            (node.core.role(), node.core.leader(), node.core.commit_index()),
            (Role::Follower, None, 0)
        );
    }
}

/// 5.2: a candidate enters the next term, votes for itself, and asks all others at once.
#[test]
pub(super) fn a_candidate_asks_all_others() {
    let mut node = Node::new(5, 3, &[1, 3]);
    let effects = node.campaign();
    assert_eq!((node.core.term(), node.core.voted_for()), (4, Some(1)));
    assert_eq!(node.ops.last(), Some(&Op::Vote { term: 4, voted_for: Some(1) }));
    let expected = (2..=5).map(|id| (id, Request::Vote(candidate(4, (2, 3)))));
    assert_eq!(effects.requests, expected.collect::<Vec<_>>());
}

/// 5.2: a majority elects, its own vote included; no answer counts twice, and a refusal not at all.
#[test]
pub(super) fn a_majority_of_votes_elects() {
    let check = |size: u64, votes: &[(NodeId, bool)], wins: bool| {
        let mut node = Node::new(size, 0, &[]);
        node.campaign();
        for (from, granted) in votes {
            node.answer(*from, Reply::Vote(VoteReply { term: 1, granted: *granted }));
        }
        let expected = if wins { Role::Leader } else { Role::Candidate };
        assert_eq!(node.core.role(), expected, "{votes:?} of {size}");
    };
    check(2, &[], false);
    check(2, &[(2, true)], true);
    check(3, &[(2, false)], false);
    check(3, &[(3, true)], true);
    check(4, &[(2, true)], false);
    check(4, &[(2, true), (2, true)], false);
    check(4, &[(2, true), (3, true)], true);
    check(5, &[(2, true), (3, false), (4, false)], false);
    check(5, &[(2, true), (3, false), (4, true)], true);
}

/// 5.2: a vote of an earlier campaign elects nobody.
#[test]
pub(super) fn a_vote_of_an_old_term_does_not_count() {
    let mut node = Node::new(3, 0, &[]);
    node.campaign();
    node.campaign();
    node.answer(2, Reply::Vote(VoteReply { term: 1, granted: true }));
    assert_eq!((node.core.role(), node.core.term()), (Role::Candidate, 2));
}

/// Figure 2, `RequestVote`: one vote in a term, the first who asks; the same one gets the same answer again.
#[test]
pub(super) fn one_vote_is_given_in_a_term() {
    let check = |voted_for: Option<NodeId>, term: Term, from: NodeId, granted: bool| {
        let mut node = Node::with(options(1, 3), Restored { voted_for, ..restored(4, &[]) });
        assert_eq!(node.votes(from, candidate(term, (0, 0))), granted, "{voted_for:?} {term} {from}");
        if granted {
            assert_eq!((node.core.term(), node.core.voted_for()), (term, Some(from)));
        }
    };
    check(None, 4, 2, true);
    check(Some(2), 4, 2, true);
    check(Some(2), 4, 3, false);
    check(Some(2), 3, 2, false);
    // In a later term the vote is free again.
    check(Some(2), 5, 3, true);
}

/// 5.4.1: a vote is for a log that has at least what one's own has: the later last term, then the longer log. A pre-vote
/// is no different (dissertation, 9.6).
#[test]
pub(super) fn a_candidate_needs_an_up_to_date_log() {
    let check = |log: &[Term], last: (Index, Term), granted: bool| {
        let mut node = Node::new(3, 5, log);
        let reply = node.ask(2, Request::PreVote(candidate(6, last)));
        let term = if granted { 6 } else { 5 };
        assert_eq!(reply, Some(Reply::PreVote(VoteReply { term, granted })), "{log:?} {last:?}");
        assert_eq!(node.votes(2, candidate(6, last)), granted, "{log:?} {last:?}");
        // The term is entered in any case.
        assert_eq!((node.core.term(), node.core.voted_for()), (6, granted.then_some(2)));
    };
    check(&[], (0, 0), true);
    check(&[], (1, 1), true);
    check(&[1], (0, 0), false);
    check(&[1], (1, 1), true);
    check(&[1, 1], (1, 1), false);
    check(&[1, 1], (3, 1), true);
    check(&[1, 1, 1], (1, 2), true);
    check(&[1, 2], (2, 1), false);
    check(&[1, 2], (9, 1), false);
}

/// 5.2: a candidate that hears from a leader of its term follows it, and of an old term does not.
#[test]
pub(super) fn a_candidate_follows_the_leader_of_its_term() {
    for (term, role) in [(3, Role::Candidate), (4, Role::Follower), (5, Role::Follower)] {
        let mut node = Node::new(3, 3, &[]);
        node.campaign();
        node.appends(2, append(term, (0, 0), &[], 0));
        assert_eq!((node.core.role(), node.core.term()), (role, term.max(4)));
        assert_eq!(node.core.leader(), (role == Role::Follower).then_some(2));
    }
}

/// Figure 2, persistent state: neither a vote nor a term is told before it is on the disk.
#[test]
pub(super) fn a_vote_is_written_before_it_is_told() {
    let mut node = Node::new(3, 3, &[]);
    node.writes = false;
    assert_eq!(node.ask(2, Request::Vote(candidate(4, (0, 0)))), None);
    assert_eq!(node.ops.last(), Some(&Op::Vote { term: 4, voted_for: Some(2) }));
    // A second question in the meantime waits as well, also where the answer is no.
    assert_eq!(node.ask(3, Request::Vote(candidate(4, (0, 0)))), None);
    let replies: Vec<_> = node.write().replies.into_iter().map(|(_, reply)| reply).collect();
    let vote = |granted| Reply::Vote(VoteReply { term: 4, granted });
    assert_eq!(replies, [vote(true), vote(false)]);
}

/// Figure 2, persistent state: a candidate's vote for itself is no different.
#[test]
pub(super) fn a_candidate_writes_its_vote_before_it_asks_or_counts() {
    let mut node = Node::new(2, 3, &[]);
    node.writes = false;
    let effects = node.campaign();
    assert_eq!(effects.requests, []);
    // With its own vote the answer would be enough.
    node.answer(2, Reply::Vote(VoteReply { term: 4, granted: true }));
    assert_eq!(node.core.role(), Role::Candidate);
    node.write();
    assert_eq!(node.core.role(), Role::Leader);
}

/// 5.2: a new leader says so to all at once, before anybody else campaigns.
#[test]
pub(super) fn a_new_leader_is_heard_at_once() {
    let mut node = Node::new(5, 0, &[]);
    let effects = node.lead();
    for id in 2..=5 {
        assert_eq!(appends_to(&effects, id).len(), 1);
    }
    assert_eq!(node.core.leader(), Some(1));
}

/// 5.5: a request that comes again gets the same answer, and changes nothing.
#[test]
pub(super) fn requests_can_be_repeated() {
    for request in requests(4) {
        let mut node = Node::new(3, 4, &[1, 1]);
        let reply = node.ask(2, request.clone());
        let state = (node.core.term(), node.core.voted_for(), node.log());
        node.ops.clear();
        assert_eq!(node.ask(2, request), reply);
        assert_eq!((node.core.term(), node.core.voted_for(), node.log()), state);
        assert_eq!(node.ops, []);
    }
}

//! When a node campaigns, when it lets others do so, and when it gives up: what keeps a cluster alive.

use super::*;
use crate::services::raft::{InstallSnapshotArgs, SnapshotBytes, SnapshotMeta};

/// 5.2 and 9.3: timeouts are drawn from an interval, again for each election, and differently on each node.
#[test]
pub(super) fn election_timeouts_are_random() {
    let draws = |id: NodeId| {
        let mut node = Node::with(options(id, 3), Restored::default());
        let mut draws = Vec::new();
        for _ in 0..50 {
            let drawn = node.core.next_deadline().0 - node.now.0;
            assert!((ELECTION..=2 * ELECTION).contains(&drawn), "{drawn} us");
            draws.push(drawn);
            node.time_out();
        }
        draws.dedup();
        assert!(draws.len() > 40, "{draws:?}");
        draws
    };
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
}

/// 5.2: a campaign that nobody wins is followed by another one.
#[test]
pub(super) fn a_campaign_without_a_winner_is_followed_by_another() {
    let mut node = Node::new(3, 0, &[]);
    node.campaign();
    node.campaign();
    assert_eq!(node.core.term(), 2);
    // Too early is harmless.
    assert_eq!(node.step(Input::Timeout), Effects::default());
}

/// 5.2, figure 2, rules for followers: the timer starts again with a message of the leader of this term, and with a vote
/// that is given; with nothing else, so that those who cannot win do not keep those who can from trying.
#[test]
pub(super) fn only_the_leader_and_a_given_vote_restart_the_election_timer() {
    let check = |what: &str, request: Request, restarts: bool| {
        let mut node = Node::new(3, 4, &[1, 1]);
        let deadline = node.core.next_deadline();
        // Later than any timer that would have started before.
        node.now = deadline;
        node.ask(2, request);
        assert_eq!(node.core.next_deadline() > deadline, restarts, "{what}");
    };
    let snapshot = SnapshotMeta { last_index: 9, last_term: 1, membership: Box::new(Membership::of(1..=3)) };
    let data = SnapshotBytes::default();
    let piece = InstallSnapshotArgs { term: 4, round: 1, snapshot, offset: 0, data, last: false };
    check("entries", Request::Append(append(4, (2, 1), &[4], 0)), true);
    check("a sign of life", Request::Append(append(4, (2, 1), &[], 0)), true);
    check("entries that do not fit", Request::Append(append(4, (9, 4), &[4], 0)), true);
    check("entries of an old term", Request::Append(append(3, (2, 1), &[], 0)), false);
    check("a piece of a snapshot", Request::Snapshot(piece), true);
    check("a vote given", Request::Vote(candidate(4, (2, 1))), true);
    check("a vote refused", Request::Vote(candidate(4, (1, 1))), false);
    check("a vote refused in a new term", Request::Vote(candidate(5, (1, 1))), false);
    check("a vote of an old term", Request::Vote(candidate(3, (2, 1))), false);
    check("a pre-vote", Request::PreVote(candidate(5, (2, 1))), false);
}

/// 5.2: the leader gives a sign of life to everybody, well before anybody campaigns.
#[test]
pub(super) fn a_leader_is_heard_of_all_the_time() {
    let mut node = Node::new(3, 0, &[]);
    node.lead();
    let mut heard = [node.now; 2];
    while node.now < Time(5 * ELECTION) {
        let effects = node.time_out();
        for (heard, id) in heard.iter_mut().zip(2..) {
            if appends_to(&effects, id).is_empty() {
                continue;
            }
            assert!(node.now.0 - heard.0 <= ELECTION / 4);
            *heard = node.now;
            node.matched(id, 0);
        }
    }
    assert!(heard.iter().all(|heard| node.now.0 - heard.0 <= ELECTION / 4));
}

/// Dissertation, 9.6: a pre-vote changes neither the term nor the vote of anybody.
#[test]
pub(super) fn a_pre_vote_changes_nothing() {
    let mut asks = Node::new(3, 4, &[1]);
    for _ in 0..5 {
        let effects = asks.time_out();
        assert_eq!((asks.core.role(), asks.core.term()), (Role::PreCandidate, 4));
        assert_eq!(effects.requests[0], (2, Request::PreVote(candidate(5, (1, 1)))));
    }
    let mut answers = Node::new(3, 4, &[1]);
    assert!(answers.ask(2, Request::PreVote(candidate(7, (1, 1)))).is_some());
    assert_eq!((answers.core.term(), answers.core.voted_for()), (4, None));
    assert_eq!((asks.ops, answers.ops), (vec![], vec![]));
}

/// Dissertation, 9.6: only with a majority for it does a node campaign; a pre-vote for another term does not count.
#[test]
pub(super) fn a_campaign_needs_a_majority_of_pre_votes() {
    let check = |answers: &[(NodeId, Term, bool)], expected: Role| {
        let mut node = Node::new(5, 4, &[1]);
        node.time_out();
        for (from, term, granted) in answers {
            node.answer(*from, Reply::PreVote(VoteReply { term: *term, granted: *granted }));
        }
        assert_eq!(node.core.role(), expected, "{answers:?}");
    };
    check(&[(2, 5, true)], Role::PreCandidate);
    check(&[(2, 5, true), (2, 5, true)], Role::PreCandidate);
    check(&[(2, 5, true), (3, 4, false)], Role::PreCandidate);
    check(&[(2, 5, true), (3, 6, true)], Role::PreCandidate);
    check(&[(2, 5, true), (3, 5, true)], Role::Candidate);
}

/// Dissertation, 4.2.3: whoever hears from a leader helps nobody to another election, unless the leader wants it (3.10).
#[test]
pub(super) fn a_leader_that_is_heard_of_is_not_replaced() {
    let check = |silence_us: u64, transfer: bool, granted: bool| {
        let mut node = Node::new(3, 4, &[1]);
        node.appends(3, append(4, (1, 1), &[], 0));
        node.wait(silence_us);
        let args = VoteArgs { transfer, ..candidate(5, (1, 1)) };
        if !transfer {
            let term = if granted { 5 } else { 4 };
            let reply = node.ask(2, Request::PreVote(args.clone()));
            assert_eq!(reply, Some(Reply::PreVote(VoteReply { term, granted })));
        }
        assert_eq!(node.votes(2, args), granted, "{silence_us} {transfer}");
        assert_eq!(node.core.term(), if granted { 5 } else { 4 });
    };
    check(0, false, false);
    check(0, true, true);
    check(ELECTION - 1, false, false);
    check(ELECTION, false, true);
}

/// Dissertation, 6.2: a leader that no majority has answered for a while steps down, in its term.
#[test]
pub(super) fn a_leader_without_a_majority_steps_down() {
    let check = |size: u64, answering: &[NodeId], leads: bool| {
        let mut node = Node::new(size, 4, &[]);
        node.lead();
        let end = node.now.after_us(4 * ELECTION);
        while node.now < end && node.core.role() == Role::Leader {
            node.time_out();
            for id in answering {
                node.matched(*id, 0);
            }
        }
        let expected = if leads { Role::Leader } else { Role::Follower };
        assert_eq!((node.core.role(), node.core.term()), (expected, 5), "{answering:?} of {size}");
    };
    check(1, &[], true);
    check(2, &[], false);
    check(3, &[3], true);
    check(5, &[2], false);
    check(5, &[2, 5], true);
}

/// Dissertation, 3.10: the other node campaigns at once, and asks for votes as told by the leader.
#[test]
pub(super) fn a_node_campaigns_when_its_leader_says_so() {
    let check = |from: NodeId, term: Term, campaigns: bool| {
        let mut node = Node::new(3, 4, &[1]);
        node.appends(3, append(4, (1, 1), &[], 0));
        let effects = node.step(Input::Request {
            from,
            token: 7,
            request: Request::TimeoutNow(TimeoutNowArgs { term }),
        });
        let args = VoteArgs { transfer: true, ..candidate(5, (1, 1)) };
        let asks = effects.requests.contains(&(2, Request::Vote(args)));
        assert_eq!((asks, node.core.role() == Role::Candidate), (campaigns, campaigns), "{from} {term}");
    };
    check(3, 4, true);
    check(2, 4, false);
    check(3, 3, false);
}

/// Dissertation, 3.10: a leader hands over to who has the whole log, as soon as that is so, and takes no commands meanwhile.
#[test]
pub(super) fn a_leader_hands_over_to_who_has_everything() {
    const NOBODY: [NodeId; 0] = [];
    let told = |effects: &Effects| -> Vec<NodeId> {
        let is_told = |(_, request): &&(NodeId, Request)| matches!(request, Request::TimeoutNow(_));
        effects.requests.iter().filter(is_told).map(|(to, _)| *to).collect()
    };
    let mut node = Node::new(3, 4, &[1, 1]);
    node.lead();
    node.matched(2, 2);
    // Nobody is told who does not have everything, and who was not heard of is not chosen.
    assert_eq!(told(&node.step(Input::Transfer(Some(3)))), NOBODY);
    assert_eq!(told(&node.step(Input::Transfer(None))), NOBODY);
    let refused = super::super::Proposed::Refused(super::super::Refusal::Transferring);
    let command = crate::services::raft::Command::new("a").unwrap();
    assert_eq!(node.step(Input::Propose(vec![command])).proposed, Some(refused));
    assert_eq!(told(&node.matched(2, 3)), [2]);
    // It is told once more only if that has failed.
    assert_eq!(told(&node.matched(2, 3)), NOBODY);
    let sent = Sent::TimeoutNow(5);
    assert_eq!(told(&node.step(Input::Failed { to: 2, sent })), [2]);
}

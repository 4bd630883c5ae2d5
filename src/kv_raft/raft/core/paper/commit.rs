//! What is committed, and what clients may read.

use super::*;
use crate::services::raft::Command;

use super::super::{DiskSpace, Proposed, ReadOutcome, Refusal};

/// 5.3, 5.4.2 and figure 2: a leader commits what is on a majority of disks, if the last of it is of its own term.
#[test]
pub(super) fn a_leader_commits_what_a_majority_has_of_its_term() {
    // The log has entries of terms 1, 2 and 2, a blank one of the leader's term 3, and a command.
    let check = |size: u64, matched: &[Index], commit: Index| {
        let mut node = Node::new(size, 2, &[1, 2, 2]);
        node.lead();
        node.step(Input::Propose(vec![Command::new("a").unwrap()]));
        assert_eq!(node.log(), [1, 2, 2, 3, 3]);
        for (id, index) in (2..).zip(matched) {
            node.matched(id, *index);
        }
        assert_eq!(node.core.commit_index(), commit, "{matched:?} of {size}");
    };
    check(1, &[], 5);
    check(2, &[3], 0);
    check(2, &[4], 4);
    check(3, &[0, 0], 0);
    check(3, &[3, 0], 0);
    check(3, &[3, 3], 0);
    check(3, &[4, 0], 4);
    check(3, &[4, 5], 5);
    check(4, &[5, 0, 0], 0);
    check(4, &[5, 4, 0], 4);
    check(5, &[5, 3, 0, 0], 0);
    check(5, &[5, 4, 0, 0], 4);
    check(5, &[3, 3, 3, 3], 0);
}

/// 10.2.1: the leader writes while it sends, and counts itself only with what its own disk has.
#[test]
pub(super) fn a_leader_counts_itself_once_it_has_written() {
    let mut node = Node::new(3, 2, &[]);
    node.lead();
    node.matched(2, 0);
    node.writes = false;
    let effects = node.step(Input::Propose(vec![Command::new("a").unwrap()]));
    assert_eq!(appends_to(&effects, 2)[0].entries.len(), 1);
    node.matched(2, 1);
    assert_eq!(node.core.commit_index(), 0);
    node.write();
    assert_eq!(node.core.commit_index(), 1);
    // Without it the two others are a majority.
    node.step(Input::Propose(vec![Command::new("b").unwrap()]));
    node.matched(2, 2);
    assert_eq!(node.core.commit_index(), 1);
    node.matched(3, 2);
    assert_eq!(node.core.commit_index(), 2);
}

/// 5.4.2 and 8: a new leader that does not know whether its entries are committed adds one of its own; and only then, so
/// that the first command of a cluster has index 1.
#[test]
pub(super) fn a_new_leader_adds_an_entry_where_it_is_needed() {
    let check = |log: &[Term], commit: Index, expected: &[Term]| {
        let mut node = Node::new(3, 4, log);
        let last = (log.len() as Index, log.last().copied().unwrap_or(0));
        node.appends(2, append(4, last, &[], commit));
        node.lead();
        assert_eq!(node.log(), expected);
        let proposed = node.step(Input::Propose(vec![Command::new("a").unwrap()])).proposed;
        assert_eq!(proposed, Some(Proposed::Accepted { first: expected.len() as Index + 1, term: 5 }));
    };
    check(&[], 0, &[]);
    check(&[1, 4], 2, &[1, 4]);
    check(&[1, 4], 1, &[1, 4, 5]);
    check(&[1, 4], 0, &[1, 4, 5]);
}

/// 5.3: the followers are told of a commit soon, also where there is nothing else to say.
#[test]
pub(super) fn a_commit_is_told_soon() {
    let mut node = Node::new(3, 2, &[]);
    node.lead();
    node.matched(2, 0);
    node.matched(3, 0);
    node.step(Input::Propose(vec![Command::new("a").unwrap()]));
    node.matched(2, 1);
    let before = node.now;
    let effects = node.time_out();
    assert!(node.now.0 - before.0 <= 5 * MS);
    for id in [2, 3] {
        assert_eq!(appends_to(&effects, id)[0].commit, 1);
    }
    // Once is enough.
    assert!(node.core.next_deadline().0 - node.now.0 > 40 * MS);
}

/// 5.1: who does not lead takes no commands, and says who does.
#[test]
pub(super) fn only_a_leader_takes_commands() {
    let mut node = Node::new(3, 4, &[]);
    let propose = || Input::Propose(vec![Command::new("a").unwrap()]);
    let refused = |leader| Some(Proposed::Refused(Refusal::NotLeader(leader)));
    assert_eq!(node.step(propose()).proposed, refused(None));
    node.appends(3, append(4, (0, 0), &[], 0));
    assert_eq!(node.step(propose()).proposed, refused(Some(3)));
    node.campaign();
    assert_eq!(node.step(propose()).proposed, refused(None));
    assert_eq!(node.core.last_index(), 0);
}

/// A leader takes no more than it may hold uncommitted, and takes more once that is committed.
#[test]
pub(super) fn a_leader_holds_a_bounded_amount() {
    let mut options = options(1, 3);
    options.uncommitted_bytes_max = 1_000;
    let mut node = Node::with(options, Restored::default());
    node.lead();
    node.matched(2, 0);
    let command = Command::new(&"x".repeat(400)).unwrap();
    let propose = |node: &mut Node| node.step(Input::Propose(vec![command.clone()])).proposed.unwrap();
    assert_eq!(propose(&mut node), Proposed::Accepted { first: 1, term: 1 });
    assert_eq!(propose(&mut node), Proposed::Accepted { first: 2, term: 1 });
    assert_eq!(propose(&mut node), Proposed::Refused(Refusal::TooMuch));
    node.matched(2, 1);
    assert_eq!(propose(&mut node), Proposed::Accepted { first: 3, term: 1 });
    assert_eq!(propose(&mut node), Proposed::Refused(Refusal::TooMuch));
}

/// A full disk takes no commands and no entries, and still votes.
#[test]
pub(super) fn a_full_disk_takes_no_entries() {
    let mut node = Node::new(3, 4, &[4]);
    node.step(Input::Disk(DiskSpace::Full));
    assert_eq!(node.appends(2, append(4, (1, 4), &[4], 2)), AppendOutcome::Matched(1));
    assert_eq!((node.log(), node.core.commit_index()), (vec![4], 1));
    node.wait(ELECTION);
    assert!(node.votes(3, candidate(5, (1, 4))));
    node.step(Input::Disk(DiskSpace::Free));
    assert_eq!(node.appends(3, append(5, (1, 4), &[5], 2)), AppendOutcome::Matched(2));
}

/// What becomes of a read that comes to a leader of three, which `before` has brought somewhere.
fn read(node: &mut Node) -> Vec<ReadOutcome> {
    let effects = node.step(Input::Read(1));
    effects.reads.into_iter().map(|(_, outcome)| outcome).collect()
}

fn confirmed(effects: &Effects) -> Vec<ReadOutcome> {
    effects.reads.iter().map(|(_, outcome)| *outcome).collect()
}

/// Dissertation, 6.4: a read waits until a majority has answered what was asked after the read; nothing older confirms it.
#[test]
pub(super) fn a_read_is_confirmed_by_a_majority_after_it() {
    let mut node = Node::new(5, 4, &[]);
    node.lead();
    for id in 2..=5 {
        node.matched(id, 0);
    }
    node.wait(50 * MS);
    node.step(Input::Timeout);
    let old_rounds = node.rounds.clone();
    assert_eq!(read(&mut node), []);
    for (id, round) in old_rounds {
        let outcome = AppendOutcome::Matched(0);
        let reply = Reply::Append(AppendEntriesReply { term: 5, round, outcome, digest: None });
        assert_eq!(confirmed(&node.answer(id, reply)), []);
    }
    assert_eq!(confirmed(&node.matched(2, 0)), []);
    assert_eq!(confirmed(&node.matched(2, 0)), []);
    assert_eq!(confirmed(&node.matched(3, 0)), [ReadOutcome::Ready(0)]);
}

/// Dissertation, 6.4: before an entry of its own term is committed, a leader does not know what is.
#[test]
pub(super) fn a_read_waits_until_the_leader_knows_what_is_committed() {
    let mut node = Node::new(3, 4, &[1, 1]);
    node.lead();
    assert_eq!(read(&mut node), []);
    assert_eq!(confirmed(&node.matched(2, 2)), []);
    assert_eq!(confirmed(&node.matched(2, 3)), [ReadOutcome::Ready(3)]);
    // And where it knows from the beginning, it answers with that.
    let mut node = Node::new(3, 4, &[1, 1]);
    node.appends(2, append(4, (2, 1), &[], 2));
    node.lead();
    assert_eq!(read(&mut node), []);
    assert_eq!(confirmed(&node.matched(2, 2)), [ReadOutcome::Ready(2)]);
}

/// Dissertation, 6.4: who does not lead, or not any more, answers no read.
#[test]
pub(super) fn a_read_is_refused_without_leadership() {
    let refused = |leader| [ReadOutcome::Refused(Refusal::NotLeader(leader))];
    let mut node = Node::new(3, 4, &[]);
    assert_eq!(read(&mut node), refused(None));
    node.lead();
    assert_eq!(read(&mut node), []);
    let effects =
        node.step(Input::Request { from: 3, token: 1, request: Request::Append(append(6, (0, 0), &[], 0)) });
    assert_eq!(confirmed(&effects), refused(None));
    assert_eq!(read(&mut node), refused(Some(3)));
}

/// Dissertation, 6.4: reads that come while confirmation is on its way share the next one.
#[test]
pub(super) fn reads_share_a_confirmation() {
    let mut node = Node::new(3, 4, &[]);
    node.lead();
    node.matched(2, 0);
    let first = node.step(Input::Read(1));
    assert_eq!(first.requests.len(), 2);
    for token in 2..=9 {
        assert_eq!(node.step(Input::Read(token)), Effects::default());
    }
    let effects = node.matched(2, 0);
    assert_eq!((effects.reads.len(), effects.requests.len()), (1, 2));
    let effects = node.matched(2, 0);
    assert_eq!((effects.reads.len(), effects.requests.len()), (8, 0));
}

/// Dissertation, 6.4: a read that is confirmed and waits for an entry of the leader's term asks nobody again. Where the leader alone
/// is the majority, each answer would otherwise cause a question to every learner.
#[test]
pub(super) fn a_confirmed_read_waits_without_more_questions() {
    let membership = Membership { learners: vec![2, 3], ..Membership::of([1]) };
    let payload = Payload::Membership(Box::new(membership));
    let restored = Restored { entries: vec![Entry { term: 4, payload }], ..restored(4, &[]) };
    let mut node = Node::with(options(1, 1), restored);
    node.writes = false;
    node.time_out();
    // The vote is written, and the first entry of the term is not.
    node.step(Input::Durable(node.given));
    assert_eq!((node.core.role(), node.core.commit_index()), (Role::Leader, 0));
    assert_eq!(confirmed(&node.step(Input::Read(1))), []);
    for _ in 0..2 {
        node.matched(2, 2);
        node.matched(3, 2);
    }
    for from in [2, 3, 2, 3] {
        assert_eq!(node.matched(from, 2).requests, []);
    }
    assert_eq!(confirmed(&node.write()), [ReadOutcome::Ready(2)]);
}

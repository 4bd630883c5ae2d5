//! How logs become equal.

use super::*;
use crate::kv_raft::raft::core::Event;
use crate::services::raft::Command;

fn conflict(prev_index: Index, term: Term, first_index: Index) -> AppendOutcome {
    AppendOutcome::Conflict(Conflict { prev_index, term, first_index })
}

/// 5.3, consistency check: entries are taken where the log contains the one before them. A refusal says which term is in
/// the way and since when, and a sign of life is checked like everything else.
#[test]
pub(super) fn entries_are_taken_where_the_one_before_them_is() {
    let check = |log: &[Term], after: (Index, Term), expected: AppendOutcome| {
        for new in [&[5][..], &[]] {
            let mut node = Node::new(3, 5, log);
            let outcome = node.appends(2, append(5, after, new, 0));
            let expected = match &expected {
                AppendOutcome::Matched(index) => AppendOutcome::Matched(index + new.len() as u64),
                other @ (AppendOutcome::Conflict(_) | AppendOutcome::OldTerm) => other.clone(),
            };
            assert_eq!(outcome, expected, "{log:?} {after:?}");
            if matches!(expected, AppendOutcome::Conflict(_)) {
                assert_eq!((node.log(), node.core.commit_index()), (log.to_vec(), 0));
            }
        }
    };
    check(&[], (0, 0), AppendOutcome::Matched(0));
    check(&[1, 2], (2, 2), AppendOutcome::Matched(2));
    check(&[1, 2], (1, 1), AppendOutcome::Matched(1));
    check(&[1, 2], (0, 0), AppendOutcome::Matched(0));
    check(&[1, 2], (3, 2), conflict(3, 0, 3));
    check(&[1, 2], (9, 4), conflict(9, 0, 3));
    check(&[], (1, 1), conflict(1, 0, 1));
    check(&[1, 2], (2, 3), conflict(2, 2, 2));
    check(&[1, 2, 2, 2], (4, 1), conflict(4, 2, 2));
    check(&[1, 1, 1, 4], (3, 3), conflict(3, 1, 1));
}

/// 5.3, figure 2, receiver's rules 3 and 4: what contradicts the leader is removed with all that follows; what does not
/// stays, even after the end of what the message brings.
#[test]
pub(super) fn only_what_contradicts_the_leader_is_removed() {
    let check = |log: &[Term], after: (Index, Term), new: &[Term], expected: &[Term]| {
        let mut node = Node::new(3, 5, log);
        let last_new = after.0 + new.len() as u64;
        assert_eq!(node.appends(2, append(5, after, new, 0)), AppendOutcome::Matched(last_new));
        assert_eq!(node.log(), expected, "{log:?} {after:?} {new:?}");
        // The disk hears of it in order: the removal, and then only what is new.
        let kept = log.iter().zip(expected).take_while(|(old, new)| old == new).count() as u64;
        let truncate = (kept < log.len() as u64).then_some(Op::Truncate(kept + 1));
        let entries = entries(&expected[usize::try_from(kept).unwrap()..]);
        let append = (!entries.is_empty()).then_some(Op::Append { first: kept + 1, entries });
        assert_eq!(node.ops, truncate.into_iter().chain(append).collect::<Vec<_>>());
    };
    check(&[], (0, 0), &[1, 2], &[1, 2]);
    check(&[1, 2], (2, 2), &[5, 5], &[1, 2, 5, 5]);
    check(&[1, 2, 3], (1, 1), &[2], &[1, 2, 3]);
    check(&[1, 2, 3], (0, 0), &[1], &[1, 2, 3]);
    check(&[1, 2, 3], (1, 1), &[], &[1, 2, 3]);
    check(&[1, 2, 3], (0, 0), &[1, 2, 3], &[1, 2, 3]);
    check(&[1, 2, 3], (1, 1), &[2, 3, 4], &[1, 2, 3, 4]);
    check(&[1, 2, 3], (1, 1), &[3], &[1, 3]);
    check(&[1, 2, 2], (1, 1), &[2, 4, 5], &[1, 2, 4, 5]);
    check(&[2, 2, 2], (0, 0), &[1], &[1]);
}

/// Figure 2, receiver's rule 5: a follower commits what the leader has committed, up to the last entry that this message
/// shows to be the leader's, and never less than before.
#[test]
pub(super) fn a_follower_commits_what_the_leader_vouches_for() {
    let check = |after: (Index, Term), new: &[Term], commit: Index, expected: Index| {
        // The follower may have entries 3 and 4 from somebody else.
        let mut node = Node::new(3, 5, &[1, 1, 2, 2]);
        node.appends(2, append(5, (1, 1), &[], 1));
        assert_eq!(node.core.commit_index(), 1);
        node.appends(2, append(5, after, new, commit));
        assert_eq!(node.core.commit_index(), expected, "{after:?} {new:?} {commit}");
    };
    check((2, 1), &[], 4, 2);
    check((1, 1), &[1], 4, 2);
    check((2, 1), &[2], 4, 3);
    check((2, 1), &[5, 5, 5], 4, 4);
    check((4, 2), &[], 4, 4);
    check((4, 2), &[], 3, 3);
    check((4, 2), &[], 0, 1);
    check((0, 0), &[], 4, 1);
    check((4, 3), &[], 4, 1);
}

/// Figure 2, persistent state: entries are acknowledged once they are on the disk, and a sign of life up to what is there.
#[test]
pub(super) fn entries_are_written_before_they_are_acknowledged() {
    let mut node = Node::new(3, 5, &[5]);
    node.writes = false;
    assert_eq!(node.ask(2, Request::Append(append(5, (1, 5), &[5, 5], 0))), None);
    // The same again waits as well: that it is in memory is not enough.
    assert_eq!(node.ask(2, Request::Append(append(5, (1, 5), &[5], 0))), None);
    assert_eq!(node.appends(2, append(5, (3, 5), &[], 0)), AppendOutcome::Matched(1));
    let replies: Vec<_> = node.write().replies.into_iter().map(|(_, reply)| reply).collect();
    let matched = |index| {
        let outcome = AppendOutcome::Matched(index);
        Reply::Append(AppendEntriesReply { term: 5, round: 1, outcome, digest: None })
    };
    assert_eq!(replies, [matched(3), matched(2)]);
    assert_eq!(node.appends(2, append(5, (3, 5), &[], 0)), AppendOutcome::Matched(3));
}

/// Lets a leader and one follower, node 2, talk until they have nothing to say. Gives the number of refusals.
fn bring_in_line(leader: &mut Node, effects: Effects, follower: &mut Node) -> usize {
    let mut refusals = 0;
    let mut requests = effects.requests;
    while !requests.is_empty() {
        let mut next = Vec::new();
        for (_, request) in requests.into_iter().filter(|(to, _)| *to == 2) {
            let Some(reply) = follower.ask(1, request) else { panic!("no answer") };
            if let Reply::Append(AppendEntriesReply { outcome: AppendOutcome::Conflict(_), .. }) = &reply {
                refusals += 1;
            }
            next.extend(leader.answer(2, reply).requests);
        }
        requests = next;
    }
    refusals
}

/// 5.3, figure 7: whatever a follower has, its log becomes the leader's, and the leader's does not change. Each refusal
/// rules out a term of the follower's.
#[test]
pub(super) fn every_log_of_figure_7_becomes_the_leaders() {
    const LEADER: [Term; 10] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let check = |log: &[Term], refusals_max: usize| {
        let mut leader = Node::new(3, 7, &LEADER);
        let mut follower = Node::with(options(2, 3), restored(7, log));
        let effects = leader.lead();
        let refusals = bring_in_line(&mut leader, effects, &mut follower);
        assert!(refusals <= refusals_max, "{refusals} refusals of {log:?}");
        let expected = [&LEADER[..], &[8]].concat();
        assert_eq!((leader.log(), follower.log()), (expected.clone(), expected));
        assert_eq!(leader.core.commit_index(), 11);
    };
    check(&[1, 1, 1, 4, 4, 5, 5, 6, 6], 1);
    check(&[1, 1, 1, 4], 1);
    check(&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], 0);
    check(&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], 0);
    check(&[1, 1, 1, 4, 4, 4, 4], 2);
    check(&[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], 1);
    check(&[], 1);
    // However many entries, and however the terms lie.
    check(&[&[1; 3][..], &[2; 2_000], &[3; 2_000]].concat(), 2);
    check(&[1, 2, 2, 3, 3, 3, 3, 3, 3, 3], 2);
}

/// 5.3, leader append-only: nothing that anybody says removes an entry of a leader.
#[test]
pub(super) fn a_leader_only_appends() {
    let mut node = Node::new(3, 4, &[1, 4]);
    node.lead();
    let log = node.log();
    // Another leader of the same term cannot be.
    assert_eq!(node.appends(2, append(5, (0, 0), &[5, 5, 5], 3)), AppendOutcome::OldTerm);
    assert_eq!(node.appends(2, append(4, (0, 0), &[2], 1)), AppendOutcome::OldTerm);
    for round in 0..9 {
        let outcome = conflict(2, 3, 1);
        node.answer(2, Reply::Append(AppendEntriesReply { term: 5, round, outcome, digest: None }));
    }
    assert_eq!((node.core.role(), node.log()), (Role::Leader, log));
}

/// A leader of term 5 with four entries, whose nodes have acknowledged nothing yet, and which has sent them one by one.
fn leader_of_four() -> Node {
    let mut options = options(1, 3);
    options.append_entries_max = 1;
    let mut node = Node::with(options, restored(4, &[]));
    node.lead();
    node.matched(2, 0);
    for command in ["a", "b", "c", "d"] {
        node.step(Input::Propose(vec![Command::new(command).unwrap()]));
    }
    assert_eq!((node.core.last_index(), node.core.commit_index(), node.rounds[&2]), (4, 0, 6));
    node
}

fn matched(node: &Node) -> Index {
    node.core.progress(2).unwrap().0
}

/// 5.3: what a follower has is what it says: not what was sent, nor less because of an answer that comes late.
#[test]
pub(super) fn what_a_follower_has_is_what_it_says() {
    let mut node = leader_of_four();
    for (round, index, expected) in [(3, 1, 1), (5, 3, 3), (4, 2, 3), (3, 1, 3), (6, 4, 4), (5, 3, 4)] {
        let outcome = AppendOutcome::Matched(index);
        node.answer(2, Reply::Append(AppendEntriesReply { term: 5, round, outcome, digest: None }));
        assert_eq!((matched(&node), node.core.commit_index()), (expected, expected), "{round}");
    }
}

/// 5.3: an answer of an old term, or to what was never sent, says nothing.
#[test]
pub(super) fn only_answers_of_this_term_count() {
    let mut node = leader_of_four();
    for (term, round) in [(4, 3), (1, 3), (5, 99)] {
        let outcome = AppendOutcome::Matched(4);
        node.answer(2, Reply::Append(AppendEntriesReply { term, round, outcome, digest: None }));
        assert_eq!((matched(&node), node.core.commit_index()), (0, 0), "{term} {round}");
    }
}

/// 5.3: messages follow each other without waiting, and none is more than the window allows.
#[test]
pub(super) fn messages_follow_each_other_within_a_window() {
    let check = |inflight_max: usize, entries_max: usize, firsts: &[Index]| {
        let mut options = options(1, 2);
        options.inflight_appends_max = inflight_max;
        options.append_entries_max = entries_max;
        let mut node = Node::with(options, restored(4, &[]));
        node.lead();
        node.matched(2, 0);
        let commands = (0..6).map(|number| Command::new(&number).unwrap()).collect();
        let effects = node.step(Input::Propose(commands));
        let sent: Vec<_> = appends_to(&effects, 2).iter().map(|args| args.prev_index + 1).collect();
        assert_eq!(sent, firsts, "{inflight_max} {entries_max}");
    };
    check(1, 1, &[1]);
    check(3, 1, &[1, 2, 3]);
    check(3, 2, &[1, 3, 5]);
    check(9, 4, &[1, 5]);
    check(1, 9, &[1]);
}

/// 5.3: a leader repeats what fails, at once a few times, and for ever with its signs of life.
#[test]
pub(super) fn a_leader_repeats_what_fails() {
    let mut node = leader_of_four();
    for _ in 0..3 {
        let mut at_once = 0;
        for _ in 0..9 {
            let sent = Sent::Append(5, node.rounds[&2]);
            let effects = node.step(Input::Failed { to: 2, sent });
            at_once += effects.requests.len();
            assert!(appends_to(&effects, 2).iter().all(|args| args.prev_index == 0));
        }
        assert_eq!(at_once, 3);
        // The sign of life has everything that is wanted.
        node.wait(50 * MS);
        let effects = node.step(Input::Timeout);
        assert_eq!(appends_to(&effects, 2)[0].prev_index, 0);
    }
}

/// A leader of five that has said so much at once.
fn first_to_hear(node: &mut Node, commands: usize, bytes: usize) -> Vec<NodeId> {
    let command = Command::new(&"x".repeat(bytes)).unwrap();
    let effects = node.step(Input::Propose(vec![command; commands]));
    (2..=5).filter(|id| !appends_to(&effects, *id).is_empty()).collect()
}

/// Little goes first to as many as are needed to commit it, and to the others with what else has come by then.
#[test]
pub(super) fn little_waits_for_company_where_nobody_needs_it() {
    let membership = Membership::of(1..=5);
    let mut node = Node::with(Options::new(1, membership, 1), restored(4, &[]));
    node.lead();
    (2..=5).for_each(|id| drop(node.matched(id, 0)));
    let begin = node.now;
    assert_eq!(first_to_hear(&mut node, 1, 10), [2, 3]);
    node.wait(MS);
    assert_eq!(first_to_hear(&mut node, 1, 10), [2, 3]);
    (2..=3).for_each(|id| drop(node.matched(id, 2)));
    assert_eq!(node.core.commit_index(), 2);
    let effects = node.time_out();
    assert_eq!(node.now, begin.after_us(4 * MS));
    for id in [4, 5] {
        assert_eq!(appends_to(&effects, id)[0].entries.len(), 2);
    }
    // Where the first do not answer, the others do, and are the first from then on.
    (4..=5).for_each(|id| drop(node.matched(id, 2)));
    let begin = node.now;
    assert_eq!(first_to_hear(&mut node, 1, 10), [2, 3]);
    let mut timeouts = (0..3).map(|_| node.time_out());
    let has_entries = |effects: Effects| appends_to(&effects, 4).iter().any(|args| !args.entries.is_empty());
    assert!(timeouts.any(has_entries));
    assert_eq!(node.now, begin.after_us(4 * MS));
    (4..=5).for_each(|id| drop(node.matched(id, 3)));
    assert_eq!(node.core.commit_index(), 3);
    assert_eq!(first_to_hear(&mut node, 1, 10), [4, 5]);
    // Much needs no company.
    (2..=5).for_each(|id| drop(node.matched(id, 4)));
    assert_eq!(first_to_hear(&mut node, 63, 10), [4, 5]);
    assert_eq!(first_to_hear(&mut node, 1, 10), [2, 3, 4, 5]);
    (2..=5).for_each(|id| drop(node.matched(id, 68)));
    assert_eq!(first_to_hear(&mut node, 2, 10_000), [2, 3, 4, 5]);
}

/// Who answers fastest is the first to hear of what comes next, whoever was it before.
#[test]
pub(super) fn the_fastest_hear_first() {
    let mut node = Node::with(Options::new(1, Membership::of(1..=3), 1), restored(4, &[]));
    node.lead();
    (2..=3).for_each(|id| drop(node.matched(id, 0)));
    for index in 1..=4 {
        let command = Command::new("a").unwrap();
        let effects = node.step(Input::Propose(vec![command]));
        let hears_first = |id| !appends_to(&effects, id).is_empty();
        // Nothing is known of node 3 before it has had to answer, and then that it is faster.
        assert_eq!((hears_first(2), hears_first(3)), (index == 1, index > 1), "{index}");
        node.wait(if index == 1 { 3 * MS } else { MS });
        node.matched(if index == 1 { 2 } else { 3 }, index);
        assert_eq!(node.core.commit_index(), index);
    }
}

/// 5.3: what is committed never conflicts with a leader. Where it does all the same, a disk has lost data, and an operator must hear
/// of it.
#[test]
pub(super) fn a_leader_that_contradicts_what_is_committed_is_reported() {
    let mut node = Node::new(3, 5, &[2, 2, 3]);
    let mut check = |after: (Index, Term), new: &[Term], expected: Option<Index>| {
        let request = Request::Append(append(5, after, new, 2));
        let effects = node.step(Input::Request { from: 2, token: 0, request });
        let reported = effects.events.iter().find_map(|event| match event {
            Event::Contradicted { index } => Some(*index),
            Event::State { .. }
            | Event::Membership
            | Event::LostData(_)
            | Event::Committed(_)
            | Event::Truncated(_) => None,
        });
        assert_eq!(reported, expected, "{after:?} {new:?}");
    };
    check((3, 3), &[], None);
    // Entry 3 is not committed.
    check((3, 4), &[], None);
    check((2, 3), &[], Some(2));
    check((1, 2), &[4], Some(2));
}

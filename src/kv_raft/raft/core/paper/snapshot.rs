//! Snapshots in the place of entries.

use super::super::{Committed, Event};
use super::*;
use crate::services::raft::{InstallSnapshotArgs, SnapshotBytes, SnapshotMeta, SnapshotProgress};

fn meta(last: (Index, Term)) -> SnapshotMeta {
    SnapshotMeta { last_index: last.0, last_term: last.1, membership: Box::new(Membership::of(1..=3)) }
}

/// A piece of a snapshot of term 5.
fn piece(last: (Index, Term), offset: u64, bytes: &'static [u8], is_last: bool) -> InstallSnapshotArgs {
    let data = SnapshotBytes(bytes.into());
    InstallSnapshotArgs { term: 5, round: 1, snapshot: meta(last), offset, data, last: is_last }
}

fn takes(node: &mut Node, args: InstallSnapshotArgs) -> SnapshotProgress {
    match node.ask(2, Request::Snapshot(args)) {
        Some(Reply::Snapshot(reply)) => reply.progress,
        other => panic!("{other:?}"),
    }
}

/// 7, figure 13, receiver's rules 6 and 7: entries after a snapshot stay where the log contains its last entry, and nothing
/// stays otherwise.
#[test]
pub(super) fn a_snapshot_takes_the_place_of_what_it_covers() {
    let check = |log: &[Term], last: (Index, Term), expected: &[Term]| {
        let mut node = Node::new(3, 5, log);
        assert_eq!(takes(&mut node, piece(last, 0, b"all", true)), SnapshotProgress::Installed);
        assert_eq!((node.core.base_index(), node.log()), (last.0, expected.to_vec()), "{log:?} {last:?}");
        assert_eq!(node.core.commit_index(), last.0);
        assert_eq!(node.core.committed(0, 1_000), Committed::Snapshot(meta(last)));
        // What it stands for is what the next entries come after.
        let after = (last.0 + expected.len() as u64, expected.last().copied().unwrap_or(last.1));
        assert_eq!(node.appends(2, append(5, after, &[5], 0)), AppendOutcome::Matched(after.0 + 1));
        let keep_suffix = node.ops.iter().find_map(|op| match op {
            Op::Install { keep_suffix, .. } => Some(*keep_suffix),
            Op::Vote { .. }
            | Op::Truncate(_)
            | Op::Append { .. }
            | Op::SnapshotPiece { .. }
            | Op::Compact { .. } => None,
        });
        let contained = last.0 <= log.len() as u64 && log[usize::try_from(last.0).unwrap() - 1] == last.1;
        assert_eq!(keep_suffix, Some(contained));
    };
    check(&[], (3, 2), &[]);
    check(&[1], (3, 2), &[]);
    check(&[1, 1, 1], (3, 2), &[]);
    check(&[1, 1, 1, 1], (3, 2), &[]);
    check(&[1, 2, 2], (3, 2), &[]);
    check(&[1, 2, 2, 2, 3], (3, 2), &[2, 3]);
}

/// 7: a snapshot of what is committed already changes nothing, and is reported as being there.
#[test]
pub(super) fn an_older_snapshot_changes_nothing() {
    let mut node = Node::new(3, 5, &[1, 2, 2, 3]);
    node.appends(2, append(5, (4, 3), &[], 3));
    node.ops.clear();
    for last in [(1, 1), (3, 2)] {
        assert_eq!(takes(&mut node, piece(last, 0, b"old", true)), SnapshotProgress::Installed);
        assert_eq!((node.log(), node.core.commit_index()), (vec![1, 2, 2, 3], 3));
        assert_eq!(node.ops, []);
    }
    assert_eq!(takes(&mut node, piece((4, 3), 0, b"new", true)), SnapshotProgress::Installed);
    assert_eq!(takes(&mut node, piece((3, 2), 0, b"old", true)), SnapshotProgress::Installed);
    assert_eq!((node.core.base_index(), node.core.commit_index()), (4, 4));
}

/// 7, figure 13, receiver's rules 2 to 5: pieces are taken in order, and every answer says which one is wanted.
#[test]
pub(super) fn pieces_are_taken_in_order() {
    let mut node = Node::new(3, 5, &[]);
    let mut check = |last, offset, bytes, is_last, expected| {
        assert_eq!(takes(&mut node, piece(last, offset, bytes, is_last)), expected, "{offset}");
    };
    check((3, 2), 4, b"late", false, SnapshotProgress::Next(0));
    check((3, 2), 0, b"once", false, SnapshotProgress::Next(4));
    check((3, 2), 0, b"once", false, SnapshotProgress::Next(4));
    check((3, 2), 8, b"gap!", true, SnapshotProgress::Next(4));
    check((3, 2), 4, b"upon", false, SnapshotProgress::Next(8));
    // A newer snapshot begins anew, and an older one is not taken up again.
    check((4, 2), 0, b"anew", false, SnapshotProgress::Next(4));
    check((3, 2), 8, b"time", true, SnapshotProgress::Next(0));
    check((4, 2), 4, b"end", true, SnapshotProgress::Installed);
    let written = node.ops.iter().filter(|op| matches!(op, Op::SnapshotPiece { .. })).count();
    assert_eq!((written, node.core.base_index()), (4, 4));
}

/// 7: a snapshot is reported once it is on the disk, and only then is its state given to the state machine.
#[test]
pub(super) fn a_snapshot_is_written_before_it_is_reported() {
    let mut node = Node::new(3, 5, &[]);
    node.writes = false;
    assert_eq!(node.ask(2, Request::Snapshot(piece((3, 2), 0, b"all", true))), None);
    assert_eq!(node.core.committed(0, 1_000), Committed::Nothing);
    assert_eq!(node.write().replies.len(), 1);
    assert_eq!(node.core.committed(0, 1_000), Committed::Snapshot(meta((3, 2))));
}

/// 7: a piece comes from a leader like everything else, and an old one is refused.
#[test]
pub(super) fn a_piece_of_an_old_term_is_refused() {
    let mut node = Node::new(3, 6, &[]);
    assert_eq!(takes(&mut node, piece((3, 2), 0, b"all", true)), SnapshotProgress::OldTerm);
    assert_eq!((node.core.base_index(), node.core.leader()), (0, None));
}

/// 7: entries go once a snapshot of what is committed is saved, but for some that stay for those a little behind.
#[test]
pub(super) fn a_saved_snapshot_lets_entries_go() {
    let check = |trailing: u64, last: Index, expected: Index| {
        let mut options = options(1, 3);
        options.trailing_entries = trailing;
        let mut node = Node::with(options, restored(5, &[1, 2, 2, 3, 5]));
        node.appends(2, append(5, (5, 5), &[], 4));
        let Some(snapshot) = node.core.snapshot_meta(last) else {
            assert!(last > 4, "{last}");
            return;
        };
        node.step(Input::SnapshotSaved(snapshot.clone()));
        assert_eq!((node.core.base_index(), node.core.last_index()), (expected, 5), "{trailing} {last}");
        // An older one brings nothing back.
        node.step(Input::SnapshotSaved(meta((1, 1))));
        assert_eq!((node.core.base_index(), node.core.snapshot()), (expected, Some(&snapshot)));
        // What is gone is committed, so entries that begin before it fit.
        assert_eq!(node.appends(2, append(5, (0, 0), &[1, 2], 4)), AppendOutcome::Matched(2));
        assert_eq!(node.core.last_index(), 5);
    };
    check(0, 3, 3);
    check(0, 4, 4);
    check(1, 4, 3);
    check(9, 4, 0);
    check(0, 5, 0);
}

/// 7: a leader sends its snapshot where the entries are gone, piece by piece, and entries after it.
#[test]
pub(super) fn a_leader_sends_a_snapshot_where_entries_are_gone() {
    let restored =
        Restored { snapshot: Some(meta((3, 2))), base_index: 3, base_term: 2, ..restored(4, &[4]) };
    let mut node = Node::with(options(1, 3), restored);
    const NONE: [u64; 0] = [];
    let wanted = |effects: &Effects| -> Vec<u64> {
        let offset = |(to, request): &(NodeId, Request)| match request {
            Request::Snapshot(args) if *to == 2 => Some(args.offset),
            Request::Snapshot(_)
            | Request::Append(_)
            | Request::PreVote(_)
            | Request::Vote(_)
            | Request::TimeoutNow(_) => None,
        };
        effects.requests.iter().filter_map(offset).collect()
    };
    let answer = |node: &mut Node, progress| {
        let reply = crate::services::raft::InstallSnapshotReply {
            term: 5,
            round: node.rounds[&2],
            last_index: 3,
            progress,
        };
        node.answer(2, Reply::Snapshot(reply))
    };
    let effects = node.lead();
    assert_eq!(appends_to(&effects, 2)[0].prev_index, 4);
    let outcome = AppendOutcome::Conflict(Conflict { prev_index: 4, term: 0, first_index: 1 });
    let reply = AppendEntriesReply { term: 5, round: node.rounds[&2], outcome, digest: None };
    assert_eq!(wanted(&node.answer(2, Reply::Append(reply))), [0]);
    assert_eq!(wanted(&answer(&mut node, SnapshotProgress::Next(40))), [40]);
    // Who wants the same piece again cannot take it now.
    assert_eq!(wanted(&answer(&mut node, SnapshotProgress::Next(40))), NONE);
    node.wait(50 * MS);
    assert_eq!(wanted(&node.step(Input::Timeout)), [40]);
    let effects = answer(&mut node, SnapshotProgress::Installed);
    assert_eq!(appends_to(&effects, 2)[0].prev_index, 3);
    assert_eq!(node.core.progress(2).unwrap().0, 3);
}

/// 7: what a snapshot removes without having contained it is told to whoever waits for it.
#[test]
pub(super) fn what_a_snapshot_removes_is_told() {
    let mut node = Node::new(3, 5, &[1, 1, 1, 1, 1]);
    let request = Request::Snapshot(piece((3, 2), 0, b"all", true));
    let effects = node.step(Input::Request { from: 2, token: 1, request });
    assert!(effects.events.contains(&Event::Truncated(4)), "{:?}", effects.events);
}

/// 5.1: terms do not fall in a log, also where a message begins before the base and nothing before it can be compared.
#[test]
fn entries_of_a_term_before_the_snapshots_are_not_taken() {
    let mut node = Node::new(3, 5, &[]);
    assert_eq!(takes(&mut node, piece((6, 3), 0, b"all", true)), SnapshotProgress::Installed);
    assert_eq!(node.appends(2, append(5, (5, 0), &[1, 1], 0)), AppendOutcome::OldTerm);
    assert!(node.log().is_empty());
    assert_eq!(node.appends(2, append(5, (5, 0), &[3, 4], 0)), AppendOutcome::Matched(7));
}

/// 7: a piece of an older snapshot that comes late, the first one included, does not restart the transfer of a newer one.
#[test]
pub(super) fn a_late_piece_of_an_older_snapshot_changes_nothing() {
    let piece = |last_index, offset, data: &'static [u8], last| {
        let snapshot = SnapshotMeta { last_index, last_term: 1, membership: Box::new(Membership::of(1..=3)) };
        let data = SnapshotBytes(data.into());
        Request::Snapshot(InstallSnapshotArgs { term: 4, round: 1, snapshot, offset, data, last })
    };
    for (offset, last) in [(0, false), (0, true), (2, false), (4, false)] {
        let mut node = Node::new(3, 4, &[1]);
        let mut progress = |request| match node.ask(2, request) {
            Some(Reply::Snapshot(reply)) => reply.progress,
            other => panic!("{other:?}"),
        };
        assert_eq!(progress(piece(5, 0, b"old", false)), SnapshotProgress::Next(3));
        assert_eq!(progress(piece(9, 0, b"ne", false)), SnapshotProgress::Next(2));
        progress(piece(5, offset, b"late", last));
        assert_eq!(progress(piece(9, 2, b"w", true)), SnapshotProgress::Installed, "{offset} {last}");
        assert_eq!(node.core.snapshot().map(|snapshot| snapshot.last_index), Some(9));
    }
}

/// 7 and 10.2.1 of the dissertation: others may have committed what this node's own disk does not have; after a crash, a
/// snapshot of that would be ahead of the node's log and term.
#[test]
pub(super) fn a_snapshot_is_named_once_its_own_disk_has_it() {
    let mut node = Node::new(3, 4, &[1]);
    node.lead();
    node.writes = false;
    let commands = ["a", "b"].map(|command| crate::services::raft::Command::new(command).unwrap());
    node.step(Input::Propose(commands.into()));
    node.matched(2, 4);
    node.matched(3, 4);
    assert_eq!((node.core.commit_index(), node.core.durable_index()), (4, 2));
    assert!(node.core.snapshot_meta(2).is_some());
    assert_eq!((node.core.snapshot_meta(3), node.core.snapshot_meta(4)), (None, None));
    node.write();
    assert_eq!(node.core.snapshot_meta(4).map(|snapshot| snapshot.last_term), Some(5));
}

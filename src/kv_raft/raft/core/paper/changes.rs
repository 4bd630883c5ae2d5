//! Changes of the membership (Raft, 6; dissertation, 4).

use super::*;
use crate::kv_raft::raft::core::{Admission, Change, ChangeRefusal, Changed, Event, Receiver};
use crate::services::raft::{
    ClusterId, Goal, Incarnation, InstallSnapshotArgs, Member, Sender, SnapshotBytes, SnapshotMeta,
};

fn member(id: NodeId) -> Member {
    let (incarnation, url) = (Some(Incarnation(id.into())), format!("http://n{id}"));
    Member { id, incarnation, url, goal: Goal::Vote }
}

/// A cluster of these voters, whose incarnations are their ids.
fn cluster(voters: &[NodeId]) -> Membership {
    let members = voters.iter().copied().map(member).collect();
    Membership { cluster_id: Some(ClusterId(7)), members, ..Membership::of(voters.iter().copied()) }
}

/// Node 1 of a cluster of three, with these entries after its founding, all in this term.
fn node_with(term: Term, log: Vec<Payload>) -> Node {
    let options =
        Options { incarnation: Some(Incarnation(1)), membership: cluster(&[1, 2, 3]), ..options(1, 3) };
    let entries = log.into_iter().map(|payload| Entry { term, payload }).collect();
    Node::with(options, Restored { entries, ..restored(term, &[]) })
}

fn payload(membership: Membership) -> Payload {
    Payload::Membership(Box::new(membership))
}

/// A leader whose own entry at index 2 is committed.
fn leader() -> Node {
    let mut node = node_with(4, vec![Payload::Blank]);
    node.lead();
    node.matched(2, 2);
    node.matched(3, 2);
    assert_eq!(node.core.commit_index(), 2);
    node
}

fn change(node: &mut Node, change: Change) -> Vec<Changed> {
    let effects = node.step(Input::Change { token: 9, change });
    effects.changes.into_iter().map(|(_, changed)| changed).collect()
}

fn refused(refusal: ChangeRefusal) -> Vec<Changed> {
    vec![Changed::Refused(refusal)]
}

/// Ongaro's note of 2015: a leader changes nothing before an entry of its own term is committed, since an earlier leader's
/// change may still be decided. It makes such an entry where there is none.
#[test]
pub(super) fn a_change_waits_for_an_entry_of_the_leaders_own_term() {
    let mut node = node_with(4, vec![Payload::Blank]);
    node.lead();
    assert_eq!(change(&mut node, Change::Remove(3)), refused(ChangeRefusal::NotReady));
    assert_eq!(node.log(), [4, 5], "it has one already");
    node.matched(2, 2);
    node.matched(3, 2);
    assert_eq!(change(&mut node, Change::Remove(3)), []);
    // A leader that has nothing to decide has written nothing.
    let mut node = node_with(4, vec![]);
    node.lead();
    assert!(node.log().is_empty());
    assert_eq!(change(&mut node, Change::Remove(3)), refused(ChangeRefusal::NotReady));
    assert_eq!(change(&mut node, Change::Remove(3)), refused(ChangeRefusal::NotReady));
    assert_eq!(node.log(), [5]);
}

/// 6: the joint configuration is left once it is committed by both majorities, and that ends the change.
#[test]
pub(super) fn a_joint_configuration_is_left_once_it_is_committed() {
    let mut node = leader();
    assert_eq!(change(&mut node, Change::Remove(3)), []);
    assert_eq!((node.core.last_index(), node.core.membership().is_joint()), (3, true));
    let effects = node.matched(2, 3);
    assert_eq!((node.core.last_index(), node.core.membership().voters.as_slice()), (4, &[1, 2][..]));
    assert_eq!(effects.changes, []);
    let effects = node.matched(2, 4);
    assert_eq!(effects.changes, [(9, Changed::Done(4))]);
    assert!(effects.events.contains(&Event::Membership), "it is committed");
}

/// 6, third issue: the removed node gets the log until its removal is committed, and hears of that.
#[test]
fn a_removed_node_hears_that_it_is_removed() {
    let mut node = leader();
    change(&mut node, Change::Remove(3));
    node.matched(3, 3);
    let effects = node.matched(2, 3);
    assert!(!appends_to(&effects, 3).is_empty());
    let effects = node.matched(2, 4);
    let last = appends_to(&effects, 3).last().map(|args| args.commit);
    assert_eq!((last, node.core.progress(3)), (Some(4), None));
}

/// One change at a time: what is not committed, joint, or a learner that is to vote, is in progress.
#[test]
pub(super) fn a_second_change_is_refused_while_one_is_in_progress() {
    let mut node = leader();
    let in_progress = |id| refused(ChangeRefusal::InProgress { node: Some(id) });
    assert_eq!(change(&mut node, Change::Add(member(4))), []);
    assert_eq!(change(&mut node, Change::Remove(3)), in_progress(4), "it is not committed");
    node.matched(2, 3);
    node.matched(3, 3);
    assert_eq!(change(&mut node, Change::Remove(3)), in_progress(4), "it is catching up");
    assert_eq!(change(&mut node, Change::Add(member(5))), in_progress(4));
    assert_eq!(node.core.last_index(), 3, "nothing has changed");
    assert_eq!(change(&mut node, Change::Remove(4)), [], "that very node can be removed");
    node.matched(2, 4);
    assert_eq!(change(&mut node, Change::Remove(3)), []);
    assert_eq!(change(&mut node, Change::Add(member(5))), in_progress(3), "it is joint");
    node.matched(2, 5);
    assert_eq!(change(&mut node, Change::Add(member(5))), in_progress(3), "the last step is not committed");
}

/// A removal that leaves no live majority is refused, and names those that are missing.
#[test]
fn a_removal_needs_a_live_majority_of_those_that_remain() {
    let mut node = leader();
    node.wait(4 * ELECTION);
    node.matched(2, 2);
    let missing = refused(ChangeRefusal::NoMajority { missing: vec![3] });
    assert_eq!(change(&mut node, Change::Remove(2)), missing);
    assert_eq!(node.core.last_index(), 2);
    assert_eq!(change(&mut node, Change::Remove(3)), []);
}

/// A wiped node cannot be brought back where its old incarnation is needed for a majority.
#[test]
fn a_wiped_node_comes_back_only_with_a_majority_of_the_others() {
    let mut node = leader();
    let wiped = Member { incarnation: Some(Incarnation(33)), ..member(3) };
    node.wait(4 * ELECTION);
    node.matched(3, 2);
    let missing = refused(ChangeRefusal::NoMajority { missing: vec![2, 3] });
    assert_eq!(change(&mut node, Change::Rejoin(wiped.clone())), missing);
    node.matched(2, 2);
    assert_eq!(change(&mut node, Change::Rejoin(wiped)), []);
}

/// A leader that steps down does not know what becomes of its change.
#[test]
fn a_change_is_answered_when_the_leadership_is_lost() {
    let mut node = leader();
    change(&mut node, Change::Remove(3));
    let later = append(6, (2, 5), &[6], 0);
    let effects = node.step(Input::Request { from: 2, token: 1, request: Request::Append(later) });
    assert_eq!(effects.changes, [(9, Changed::Unknown)]);
    assert_eq!(*node.core.membership(), cluster(&[1, 2, 3]), "its entry is removed");
    let to_leader = refused(ChangeRefusal::NotLeader(Some(2)));
    assert_eq!(change(&mut node, Change::Remove(3)), to_leader);
}

/// Dissertation, 4.2.1: a learner votes once a round took less than an election timeout. A slow round is followed by another.
#[test]
pub(super) fn a_learner_is_promoted_once_it_has_caught_up() {
    let mut node = leader();
    change(&mut node, Change::Add(member(4)));
    node.matched(2, 3);
    for slow in 0..3 {
        node.wait(2 * ELECTION);
        node.step(Input::Propose(vec![crate::services::raft::Command::new("a").unwrap()]));
        let last = node.core.last_index();
        node.matched(2, last);
        node.matched(3, last);
        node.matched(4, last - 1);
        assert!(!node.core.membership().is_joint(), "{slow}");
    }
    let last = node.core.last_index();
    node.matched(4, last);
    assert_eq!((node.core.membership().is_joint(), node.core.last_index()), (true, last + 1));
}

/// Answers to the old incarnation say nothing of the new one, also where the old one was never known.
#[test]
fn what_the_old_incarnation_has_does_not_count_for_the_new_one() {
    let mut unnamed = Node::new(3, 4, &[4]);
    unnamed.lead();
    unnamed.matched(2, 2);
    unnamed.matched(3, 2);
    for mut node in [leader(), unnamed] {
        let old_round = node.rounds[&3];
        change(&mut node, Change::Rejoin(Member { incarnation: Some(Incarnation(33)), ..member(3) }));
        node.matched(2, 3);
        assert_eq!(node.core.membership().learners, [3]);
        let outcome = AppendOutcome::Matched(2);
        let reply = AppendEntriesReply { term: node.core.term(), round: old_round, outcome, digest: None };
        node.answer(3, Reply::Append(reply));
        assert_eq!(node.core.progress(3).map(|(matched, _)| matched), Some(0));
    }
}

/// A voter that has less than it has acknowledged is treated like one whose folder was wiped.
#[test]
fn a_voter_that_has_lost_data_learns_again() {
    let mut node = leader();
    node.wait(50 * MS);
    node.step(Input::Timeout);
    let round = node.rounds[&3];
    let outcome = AppendOutcome::Conflict(Conflict { prev_index: 2, term: 0, first_index: 1 });
    let lost = AppendEntriesReply { term: node.core.term(), round, outcome, digest: None };
    let effects = node.answer(3, Reply::Append(lost));
    assert!(effects.events.contains(&Event::LostData(3)));
    assert_eq!(node.core.lost_data(), [3]);
    node.matched(2, 2);
    assert_eq!(node.core.membership().voters, [1, 2]);
    node.matched(2, 3);
    assert_eq!((node.core.membership().learners.as_slice(), node.core.lost_data().len()), (&[3][..], 0));
}

/// A node campaigns as a voter that a committed membership names, and only with its own incarnation.
#[test]
pub(super) fn a_node_campaigns_only_as_the_voter_that_is_named() {
    let campaigns = |membership: Membership| {
        let mut node = node_with(4, vec![payload(membership)]);
        node.time_out();
        node.core.role() == Role::PreCandidate
    };
    assert!(campaigns(cluster(&[1, 2])));
    assert!(campaigns(Membership { outgoing: vec![1, 2, 3], ..cluster(&[1, 2, 3]) }));
    assert!(!campaigns(cluster(&[2, 3])), "it was removed");
    let mut replaced = cluster(&[1, 2, 3]);
    replaced.members[0].incarnation = Some(Incarnation(11));
    assert!(!campaigns(replaced), "another node has its id");
    // An empty folder, into which a leader has written a membership that may never be committed.
    let options =
        Options { incarnation: Some(Incarnation(1)), membership: cluster(&[2, 3]), ..options(1, 3) };
    let log = vec![Entry { term: 4, payload: payload(cluster(&[1, 2, 3])) }];
    let mut added = Node::with(options, Restored { entries: log, ..restored(4, &[]) });
    added.time_out();
    assert_eq!(added.core.role(), Role::Follower);
}

/// A node belongs to its cluster once that is certain: what is not committed may be undone, also what names it anew or removes it.
#[test]
fn a_node_is_a_member_once_that_is_committed() {
    let mut as_another = cluster(&[1, 2, 3]);
    as_another.members[0].incarnation = Some(Incarnation(11));
    let learner = Membership { learners: vec![1], members: cluster(&[1, 2, 3]).members, ..cluster(&[2, 3]) };
    let founded = Options { incarnation: Some(Incarnation(1)), ..options(1, 0) };
    let is_member = |history: &[&Membership], commit: Index| {
        let entries = history.iter().map(|it| Entry { term: 4, payload: payload(Membership::clone(it)) });
        let restored = Restored { entries: entries.collect(), ..restored(4, &[]) };
        let mut node = Node::with(founded.clone(), restored);
        let prev_index = history.len() as Index;
        let args = append(4, (prev_index, 4), &[], commit);
        node.step(Input::Request { from: 2, token: 1, request: Request::Append(args) });
        assert_eq!(node.core.commit_index(), commit);
        node.core.is_member()
    };
    let all = &cluster(&[1, 2, 3]);
    assert!(is_member(&[all], 0), "a founded cluster has nothing before its first membership");
    assert!(is_member(&[&learner, all], 1), "it was one before");
    // The folder was wiped, and the new one is not a member for certain.
    assert!(!is_member(&[&as_another, &learner], 1), "the next leader may not have that entry");
    assert!(is_member(&[&as_another, &learner], 2));
    // It was added.
    assert!(!is_member(&[&cluster(&[2, 3]), &learner], 1));
    assert!(is_member(&[&cluster(&[2, 3]), &learner], 2));
    // It was removed, or its folder was replaced.
    assert!(!is_member(&[all, &cluster(&[2, 3])], 1) && !is_member(&[all, &cluster(&[2, 3])], 2));
    assert!(!is_member(&[all, &as_another], 2));
    // Members of a cluster of an earlier version have their ids alone.
    let static_member = Options { membership: Membership::of([1, 2, 3]), ..founded.clone() };
    assert!(Node::with(static_member, Restored::default()).core.is_member());
    assert!(!Node::with(founded.clone(), Restored::default()).core.is_member(), "nothing names a new node");
}

/// A snapshot may say of the newest membership that it is committed, and nothing else that is new.
#[test]
fn a_snapshot_commits_a_membership() {
    let membership =
        Membership { learners: vec![1], members: cluster(&[1, 2, 3]).members, ..cluster(&[2, 3]) };
    let log = vec![Entry { term: 4, payload: payload(membership.clone()) }];
    let options =
        Options { incarnation: Some(Incarnation(1)), membership: cluster(&[2, 3]), ..options(1, 3) };
    let mut node = Node::with(options, Restored { entries: log, ..restored(4, &[]) });
    assert!(!node.core.is_member());
    let snapshot = SnapshotMeta { last_index: 1, last_term: 4, membership: Box::new(membership) };
    let data = SnapshotBytes(b"all".as_slice().into());
    let args = InstallSnapshotArgs { term: 4, round: 1, snapshot, offset: 0, data, last: true };
    let effects = node.step(Input::Request { from: 2, token: 1, request: Request::Snapshot(args) });
    assert!(effects.events.contains(&Event::Membership), "{:?}", effects.events);
    assert!(node.core.is_member());
}

/// 7: a snapshot names the membership after its last entry, also a joint one, and a restart finds it there.
#[test]
pub(super) fn a_snapshot_names_the_membership_after_its_last_entry() {
    let mut node = leader();
    change(&mut node, Change::Remove(3));
    let joint = node.core.membership().clone();
    node.matched(2, 3);
    let snapshot = node.core.snapshot_meta(3).unwrap();
    assert_eq!(*snapshot.membership, joint);
    assert_eq!(*node.core.snapshot_meta(2).unwrap().membership, cluster(&[1, 2, 3]));
    let found =
        Restored { term: 5, base_index: 3, base_term: 5, snapshot: Some(snapshot), ..Restored::default() };
    let options = Options { incarnation: Some(Incarnation(1)), ..options(1, 0) };
    let mut restarted = Node::with(options, found);
    assert_eq!(*restarted.core.membership(), joint);
    restarted.lead();
    assert_eq!(restarted.core.membership().voters, [1, 2], "the joint configuration was committed");
    assert!(!restarted.core.membership().is_joint());
}

/// A cluster is founded once, by a node that it names.
#[test]
fn a_cluster_is_founded_by_an_empty_node() {
    let new =
        || Node::with(Options { incarnation: Some(Incarnation(1)), ..options(1, 0) }, Restored::default());
    let mut node = new();
    assert_eq!(node.time_out(), Effects::default(), "it belongs to no cluster");
    node.step(Input::Found(cluster(&[2, 3])));
    assert!(node.core.log_is_empty());
    node.step(Input::Found(cluster(&[1])));
    assert_eq!((node.core.role(), node.core.commit_index()), (Role::Leader, 2));
    node.step(Input::Found(cluster(&[1, 2])));
    assert_eq!(*node.core.membership(), cluster(&[1]));
    let mut node = new();
    node.step(Input::Found(cluster(&[1, 2])));
    assert_eq!((node.core.role(), node.core.term()), (Role::PreCandidate, 1));
}

/// A wiped voter stops counting before its new incarnation counts: a swap would let one voter vote twice.
#[test]
pub(super) fn a_rejoin_changes_voters_in_two_steps() {
    let mut node = leader();
    change(&mut node, Change::Rejoin(Member { incarnation: Some(Incarnation(33)), ..member(3) }));
    assert_eq!(
        (node.core.membership().voters.as_slice(), node.core.membership().is_joint()),
        (&[1, 2][..], true)
    );
    node.matched(2, 3);
    assert_eq!(node.core.membership().learners, [3]);
}

/// 6, second issue: a leader that is not in the new configuration stops once that is committed.
#[test]
pub(super) fn a_removed_leader_stops() {
    let mut node = leader();
    change(&mut node, Change::Remove(1));
    node.matched(2, 3);
    node.matched(3, 3);
    assert_eq!(node.core.role(), Role::Leader);
    node.matched(2, 4);
    let effects = node.matched(3, 4);
    assert_eq!(effects.changes, [(9, Changed::Done(4))]);
    let is_told = |(_, request): &(NodeId, Request)| matches!(request, Request::TimeoutNow(_));
    assert!(effects.requests.iter().any(is_told), "somebody is to take over");
    node.wait(2 * ELECTION);
    node.step(Input::Timeout);
    assert_eq!(node.core.role(), Role::Follower);
    node.time_out();
    assert_eq!(node.core.role(), Role::Follower);
}

/// A message for another incarnation, or from another cluster, does not reach a core; see `identity` for the whole rule.
#[test]
pub(super) fn a_stranger_is_refused() {
    let membership = cluster(&[1, 2, 3]);
    let receiver = Receiver {
        cluster: "name",
        protocol: 1,
        id: 1,
        incarnation: Some(Incarnation(1)),
        cluster_id: membership.cluster_id,
        membership: &membership,
        committed: &membership,
        membership_index: 0,
        log_is_empty: false,
    };
    let sender = Sender {
        cluster: "name".to_owned(),
        protocol: 1,
        from: 2,
        to: 1,
        cluster_id: membership.cluster_id,
        from_incarnation: Some(Incarnation(2)),
        to_incarnation: Some(Incarnation(1)),
        membership_index: Some(0),
    };
    let wiped = Sender { to_incarnation: Some(Incarnation(11)), ..sender.clone() };
    let other = Sender { cluster_id: Some(ClusterId(8)), ..sender.clone() };
    #[cfg(feature = "bugs")]
    let admits = |sender| receiver.admit_with_bug(sender, options(1, 3).bug) == Admission::Accepted;
    #[cfg(not(feature = "bugs"))]
    let admits = |sender| receiver.admit(sender) == Admission::Accepted;
    assert_eq!([&sender, &wiped, &other].map(admits), [true, false, false]);
}

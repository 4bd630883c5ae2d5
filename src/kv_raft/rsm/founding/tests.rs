//! One test for each situation that an empty node can find.

use super::*;

const CLUSTER: ClusterId = ClusterId(0xc);

fn own(id: NodeId, peers: impl IntoIterator<Item = NodeId>) -> Own {
    Own {
        cluster: "name".to_owned(),
        protocol: 1,
        id,
        incarnation: Incarnation(id.into()),
        cluster_id: None,
        peers: peers.into_iter().map(|id| (id, url(id))).collect(),
        bootstrap: false,
    }
}

fn url(id: NodeId) -> String {
    format!("http://n{id}:1")
}

/// What an empty node says that was started with the nodes 1, 2 and 3.
fn empty(id: NodeId) -> IdentifyReply {
    IdentifyReply {
        cluster: "name".to_owned(),
        protocol: 1,
        id,
        incarnation: Some(Incarnation(id.into())),
        peers: vec![1, 2, 3],
        url: Some(url(id)),
        ..IdentifyReply::default()
    }
}

fn with_data(id: NodeId) -> IdentifyReply {
    IdentifyReply { has_data: true, cluster_id: Some(CLUSTER), ..empty(id) }
}

fn unreachable() -> Answer {
    Answer::Unreachable("connection refused".to_owned())
}

/// What `own` decides where the others answer this.
fn decide_with<const N: usize>(own: &Own, answers: [(NodeId, Answer); N]) -> Decision {
    decide(own, &answers.into())
}

fn said(reply: IdentifyReply) -> Answer {
    Answer::Identified(reply)
}

fn waits(decision: Decision, parts: &[&str]) {
    let Decision::Wait(wait) = decision else { panic!("it does not wait: {decision:?}") };
    let text = wait.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn where_all_nodes_are_empty_the_one_with_the_lowest_id_founds_the_cluster() {
    let Decision::Found(membership) = decide_with(&own(1, 1..=3), [(2, said(empty(2))), (3, said(empty(3)))])
    else {
        panic!("node 1 does not found the cluster")
    };
    assert_eq!((&*membership.voters, &*membership.learners), (&[1, 2, 3][..], &[][..]));
    for member in &membership.members {
        assert_eq!((member.incarnation, &member.url), (Some(Incarnation(member.id.into())), &url(member.id)));
    }
    assert_eq!(membership.members.len(), 3);
    for id in [2, 3] {
        let others = [1, 5 - id].map(|other| (other, said(empty(other))));
        waits(decide_with(&own(id, 1..=3), others), &["node 1 (http://n1:1)", "found"]);
    }
}

#[test]
fn members_have_urls_of_their_own() {
    let announces = |reply, url: &str| said(IdentifyReply { url: Some(url.to_owned()), ..reply });
    let check = |second: &str, third: &str, expected: [&str; 3]| {
        let answers = [(2, announces(empty(2), second)), (3, announces(empty(3), third))];
        let Decision::Found(membership) = decide_with(&own(1, 1..=3), answers) else { panic!("it does not") };
        assert_eq!(membership.members.iter().map(|member| &*member.url).collect::<Vec<_>>(), expected);
    };
    check("http://b:2", "http://c:3", ["http://n1:1", "http://b:2", "http://c:3"]);
    check("http://b:2", "http://b:2", ["http://n1:1", "http://n2:1", "http://n3:1"]);
    check("http://n1:1", "http://c:3", ["http://n1:1", "http://n2:1", "http://n3:1"]);
}

#[test]
fn a_node_alone_founds_a_cluster_of_one() {
    let Decision::Found(membership) = decide_with(&own(7, [7]), []) else { panic!("it does not") };
    assert_eq!(membership.voters, [7]);
}

#[test]
fn a_node_waits_for_those_that_it_cannot_reach() {
    let decision = decide_with(&own(1, 1..=3), [(2, said(empty(2))), (3, unreachable())]);
    waits(decision, &["node 3 (http://n3:1: connection refused)", "--bootstrap"]);
}

/// Nothing is founded beside a cluster that exists, with `--bootstrap` or without.
#[test]
fn where_any_node_has_data_an_empty_one_rejoins() {
    for bootstrap in [false, true] {
        let own = Own { bootstrap, ..own(1, 1..=3) };
        let admitted = IdentifyReply { has_data: false, ..with_data(3) };
        let old = IdentifyReply { cluster_id: None, ..with_data(3) };
        let lost = [
            (said(with_data(3)), Some(CLUSTER)),
            (said(admitted), Some(CLUSTER)),
            (said(old), None),
            (Answer::Earlier, None),
        ];
        for (answer, cluster_id) in lost {
            for second in [said(empty(2)), unreachable()] {
                let decision = decide_with(&own, [(2, second), (3, answer.clone())]);
                assert_eq!(decision, Decision::Rejoin { cluster_id, at: vec![3] });
            }
        }
    }
}

#[test]
fn a_declared_cluster_needs_a_majority_and_the_others_become_learners() {
    let flagged = Own { bootstrap: true, ..own(2, 1..=3) };
    let Decision::Found(membership) = decide_with(&flagged, [(1, unreachable()), (3, said(empty(3)))]) else {
        panic!("it does not found the cluster")
    };
    assert_eq!((&*membership.voters, &*membership.learners), (&[2, 3][..], &[1][..]));
    let member = membership.member(1).unwrap();
    assert_eq!((member.incarnation, &*member.url, member.goal), (None, "http://n1:1", Goal::Vote));
    waits(decide_with(&flagged, [(1, unreachable()), (3, unreachable())]), &["node 1", "node 3"]);
}

#[test]
fn of_several_nodes_that_declare_a_cluster_the_lowest_one_that_is_reachable_founds_it() {
    let flagged = |reply| said(IdentifyReply { bootstrap: true, ..reply });
    let third = Own { bootstrap: true, ..own(3, 1..=3) };
    let decision = decide_with(&third, [(1, unreachable()), (2, flagged(empty(2)))]);
    waits(decision, &["node 2 (http://n2:1) to found"]);
    // Where all can be reached no declaration is needed, and the rule is the same for all.
    let decision = decide_with(&third, [(1, said(empty(1))), (2, flagged(empty(2)))]);
    waits(decision, &["node 1 (http://n1:1) to found"]);
    // Without the option, a node does not found where some cannot be reached.
    let first = own(1, 1..=3);
    let decision = decide_with(&first, [(2, unreachable()), (3, flagged(empty(3)))]);
    waits(decision, &["node 3 (http://n3:1) to found"]);
}

#[test]
fn nodes_with_different_lists_wait_and_the_order_does_not_matter() {
    let partial = IdentifyReply { peers: vec![1, 2], ..empty(2) };
    let decision = decide_with(&own(1, 1..=3), [(2, said(partial)), (3, said(empty(3)))]);
    waits(decision, &["the nodes 1, 2, 3", "node 2 (http://n2:1) with 1, 2", "--peers"]);
    let alone = IdentifyReply { peers: vec![], ..empty(2) };
    let decision = decide_with(&own(1, 1..=3), [(2, said(alone)), (3, said(empty(3)))]);
    waits(decision, &["node 2 (http://n2:1) with "]);
    let declared = Own { bootstrap: true, ..own(1, [1, 2]) };
    waits(decide_with(&declared, [(2, said(empty(2)))]), &["the nodes 1, 2, but node 2"]);
    assert!(matches!(
        decide_with(&own(1, [3, 1, 2]), [(2, said(empty(2))), (3, said(empty(3)))]),
        Decision::Found(_)
    ));
}

#[test]
fn nodes_of_different_clusters_are_told_apart() {
    let other = IdentifyReply { cluster_id: Some(ClusterId(0xd)), ..with_data(3) };
    let decision = decide_with(&own(1, 1..=3), [(2, said(with_data(2))), (3, said(other.clone()))]);
    waits(decision, &["node 2", &CLUSTER.to_string(), "node 3", &ClusterId(0xd).to_string()]);
    let lost = Own { cluster_id: Some(CLUSTER), ..own(1, 1..=3) };
    let decision = decide_with(&lost, [(2, said(empty(2))), (3, said(other))]);
    waits(decision, &["belongs to the cluster 0", "node 3", "empty folder"]);
}

/// A folder whose log was deleted had one: nothing is founded in its place.
#[test]
fn a_node_that_has_lost_its_log_founds_nothing() {
    let lost = |bootstrap| Own { bootstrap, cluster_id: Some(CLUSTER), ..own(1, 1..=3) };
    for lost in [lost(false), lost(true)] {
        let decision = decide_with(&lost, [(2, said(empty(2))), (3, said(empty(3)))]);
        waits(decision, &["nothing of its log", "no other node has data"]);
        let decision = decide_with(&lost, [(2, said(empty(2))), (3, unreachable())]);
        waits(decision, &["node 3"]);
        let decision = decide_with(&lost, [(2, said(empty(2))), (3, said(with_data(3)))]);
        assert_eq!(decision, Decision::Rejoin { cluster_id: Some(CLUSTER), at: vec![3] });
    }
}

#[test]
fn mistakes_of_operators_are_named() {
    let check = |reply: IdentifyReply, parts: &[&str]| {
        waits(decide_with(&own(1, 1..=3), [(2, said(reply)), (3, said(with_data(3)))]), parts);
    };
    check(empty(3), &["node 3 answers at http://n2:1", "node 2"]);
    check(IdentifyReply { cluster: "other".to_owned(), ..with_data(2) }, &["node 2", "`other`", "`name`"]);
    check(IdentifyReply { protocol: 9, ..empty(2) }, &["node 2", "version 9"]);
    let copy = IdentifyReply { incarnation: Some(Incarnation(1)), ..with_data(1) };
    check(copy, &["node 2 (http://n2:1) has the data folder of this node, or a copy"]);
    let joins = IdentifyReply { joins: true, ..empty(2) };
    waits(decide_with(&own(1, 1..=3), [(2, said(joins)), (3, said(empty(3)))]), &["node 2", "--join"]);
    // All of them are, with whatever else is missing.
    let answers = [(2, said(empty(3))), (3, Answer::Earlier), (4, unreachable())];
    waits(
        decide_with(&own(1, 1..=4), answers),
        &[
            "node 3 answers at http://n2:1",
            "node 3 (http://n3:1) does not have",
            "node 4 (http://n4:1: connection refused)",
        ],
    );
    let long = IdentifyReply { cluster: "\n".repeat(100_000), ..empty(2) };
    let Decision::Wait(wait) = decide_with(&own(1, 1..=3), [(2, said(long)), (3, unreachable())]) else {
        panic!()
    };
    assert!(wait.to_string().len() < 1_000);
}

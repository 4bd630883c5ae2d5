//! Which nodes can become members: a pure decision about what a node says of itself.

use traitwire::log::Excerpt;

use crate::kv_raft::raft::PROTOCOL;
use crate::services::member::MemberErr;
use crate::services::raft::{Goal, IdentifyReply, Member, Membership, NodeId};
use crate::url::ServerUrl;

/// What is to be done about a node that an operator wants in the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is a member already, with this data folder and this URL.
    IsMember(NodeId),
    /// It is a member that has not been reached before.
    Returns(Member),
    /// It can become a member.
    New(Member),
}

/// The cluster that a node is to belong to.
pub(super) struct Cluster<'a> {
    pub(super) name: &'a str,
    pub(super) membership: &'a Membership,
}

/// Decides about the node at a URL from what it says of itself.
pub(super) fn admit(
    cluster: &Cluster<'_>,
    url: &ServerUrl,
    node: &IdentifyReply,
    goal: Goal,
) -> Result<Admission, MemberErr> {
    let unsuitable = |reason: String| MemberErr::Unsuitable { url: url.to_string(), reason };
    let exists = |id: NodeId, reason: String| MemberErr::Exists { id, reason };
    if node.protocol != PROTOCOL {
        return Err(unsuitable(format!(
            "it speaks version {} of the protocol, and the leader version {PROTOCOL}; start the same version of traitwire there",
            node.protocol
        )));
    }
    if node.cluster != cluster.name {
        return Err(unsuitable(format!(
            "it belongs to the cluster `{}`, and this is `{}`; start it with `--cluster {}`",
            Excerpt(&node.cluster),
            Excerpt(cluster.name),
            Excerpt(cluster.name)
        )));
    }
    let Some(incarnation) = node.incarnation else {
        return Err(unsuitable("it has no data folder; start it with `traitwire serve --join`".to_owned()));
    };
    let members = &cluster.membership.members;
    if let Some(known) = members.iter().find(|member| member.incarnation == Some(incarnation)) {
        return if known.url.parse().as_ref() == Ok(url) {
            Ok(Admission::IsMember(known.id))
        } else {
            Err(exists(known.id, format!("it is reached at {}", known.url)))
        };
    }
    if let (Some(theirs), Some(ours)) = (node.cluster_id, cluster.membership.cluster_id)
        && theirs != ours
    {
        return Err(unsuitable(format!(
            "it belongs to another cluster, {theirs}, and this one is {ours}; stop it, and start it with an empty folder and \
             `--join`"
        )));
    }
    if node.has_data {
        return Err(unsuitable(
            "it has data, of a cluster that it founded or of one that it has left; stop it, and start it with an empty folder \
             and `--join`"
                .to_owned(),
        ));
    }
    let member = Member { id: node.id, incarnation: Some(incarnation), url: url.to_string(), goal };
    if let Some(known) = members.iter().find(|member| member.id == node.id) {
        let is_same_url = known.url.parse().as_ref() == Ok(url);
        return if known.incarnation.is_none() && is_same_url {
            Ok(Admission::Returns(member))
        } else {
            Err(exists(node.id, format!("its data folder is another one, at {}", known.url)))
        };
    }
    if cluster.membership.has(node.id) {
        return Err(exists(node.id, "start the new node with another `--id`".to_owned()));
    }
    if let Some(known) = members.iter().find(|member| member.url.parse().as_ref() == Ok(url)) {
        return Err(exists(known.id, format!("its URL is {url}")));
    }
    Ok(Admission::New(member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::raft::{ClusterId, Incarnation};

    fn member(id: NodeId) -> Member {
        let incarnation = Some(Incarnation(id.into()));
        Member { id, incarnation, url: format!("http://node-{id}:1"), goal: Goal::Vote }
    }

    fn membership() -> Membership {
        let members = (1..=3).map(member).collect();
        Membership { cluster_id: Some(ClusterId(1)), members, ..Membership::of(1..=3) }
    }

    fn node(id: NodeId) -> IdentifyReply {
        IdentifyReply {
            cluster: "c".to_owned(),
            protocol: PROTOCOL,
            id,
            incarnation: Some(Incarnation(u128::from(id) + 100)),
            ..IdentifyReply::default()
        }
    }

    fn check(url: &str, node: &IdentifyReply) -> Result<Admission, String> {
        let cluster = Cluster { name: "c", membership: &membership() };
        admit(&cluster, &url.parse().unwrap(), node, Goal::Vote).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_node_can_become_a_member_and_a_member_is_one() {
        let url = "http://node-4:1";
        let new = Member { incarnation: Some(Incarnation(104)), ..member(4) };
        assert_eq!(check(url, &node(4)), Ok(Admission::New(new.clone())));
        let joins = IdentifyReply { joins: true, cluster_id: Some(ClusterId(1)), ..node(4) };
        assert_eq!(check(url, &joins), Ok(Admission::New(new)));
        let known = IdentifyReply { incarnation: Some(Incarnation(2)), has_data: true, ..node(2) };
        assert_eq!(check("http://node-2:1/", &known), Ok(Admission::IsMember(2)));
    }

    #[test]
    fn other_nodes_are_refused_with_the_reason() {
        let url = "http://node-4:1";
        for (url, node, reason) in [
            (url, IdentifyReply { protocol: PROTOCOL + 1, ..node(4) }, "speaks version 2"),
            (url, IdentifyReply { cluster: "d".to_owned(), ..node(4) }, "the cluster `d`, and this is `c`"),
            (url, IdentifyReply { incarnation: None, ..node(4) }, "no data folder"),
            (url, IdentifyReply { has_data: true, ..node(4) }, "it has data"),
            (url, IdentifyReply { cluster_id: Some(ClusterId(9)), ..node(4) }, "another cluster, 0000"),
            (url, node(3), "node 3 is a member already: its data folder is another one"),
            ("http://node-2:1", node(4), "node 2 is a member already: its URL is http://node-2:1"),
            (
                "http://node-2:9",
                IdentifyReply { incarnation: Some(Incarnation(2)), ..node(2) },
                "node 2 is a member already: it is reached at http://node-2:1",
            ),
        ] {
            let refused = check(url, &node).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}

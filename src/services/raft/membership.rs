//! Who belongs to a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterId, Incarnation, NodeId};

/// Who belongs to a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// The nodes that vote.
    pub voters: Vec<NodeId>,
    /// While the voters change: those of before, whose majority is needed too (Raft, 6). Otherwise empty.
    #[serde(default)]
    pub outgoing: Vec<NodeId>,
    /// The nodes that get the log and do not vote.
    #[serde(default)]
    pub learners: Vec<NodeId>,
    /// The id of the cluster; absent until a cluster of an earlier version has chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// What is known of each node, in the order of their ids. Nodes of a cluster of an earlier version may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// In a joint configuration: the member that becomes a learner when the configuration is left. It takes the place of the
    /// member with the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Box<Member>>,
}

/// One node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Which data folder the node has. Absent until the node has been reached for the first time; until then it counts towards no
    /// majority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// The URL at which the other nodes reach it.
    pub url: String,
    /// For a learner: what happens once it has caught up.
    #[serde(default)]
    pub goal: Goal,
}

/// What happens to a learner that has caught up with the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It stays a learner.
    Learn,
    /// It becomes a voter.
    #[default]
    Vote,
    /// It becomes a voter in the place of this one, which leaves the cluster.
    Replace(NodeId),
}

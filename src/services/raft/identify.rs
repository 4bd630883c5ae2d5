//! What a node says of itself to nodes that do not know it yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterId, Incarnation, NodeId, RunId};

/// What a node is, as its folder and its command line say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdentifyReply {
    /// The name of its cluster.
    pub cluster: String,
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// Its id.
    pub id: NodeId,
    /// Its incarnation; null for a node without a data folder.
    pub incarnation: Option<Incarnation>,
    /// The id of the cluster that it belongs to, once it knows it.
    pub cluster_id: Option<ClusterId>,
    /// Whether it has a log, a term or a membership.
    pub has_data: bool,
    /// The nodes of the cluster that it was started with, in order; empty if it was started without a list.
    pub peers: Vec<NodeId>,
    /// The URL at which the other nodes reach it, if it was started with one.
    pub url: Option<String>,
    /// Whether it may found a cluster although some nodes cannot be reached.
    pub bootstrap: bool,
    /// Whether it was started to join a cluster that exists, and waits to be added.
    pub joins: bool,
    /// Names this run of the node; absent from a node of an earlier version. Two runs with the same incarnation use copies of one data
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

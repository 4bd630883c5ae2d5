//! What a node knows of itself before its log says anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::storage::IdentityFile;
use crate::services::raft::{ClusterId, Incarnation, NodeId, RunId};

/// What a node knows of itself before its log says anything: what its folder says, and how it was started.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The name of its cluster.
    pub cluster: String,
    /// What its folder says. A node without one belongs to a cluster that is given in advance, such as those of tests.
    pub identity: Option<Arc<IdentityFile>>,
    /// The URLs of the nodes that it was started with, including its own.
    pub peers: BTreeMap<NodeId, String>,
    /// Whether it may found a cluster although some of the peers cannot be reached.
    pub bootstrap: bool,
    /// Whether it was started to join a cluster that exists.
    pub joins: bool,
    /// Names this run of the node.
    pub run: Option<RunId>,
}

impl Profile {
    /// The node's incarnation and the id of its cluster, as far as they are known.
    pub fn ids(&self) -> (Option<Incarnation>, Option<ClusterId>) {
        match &self.identity {
            Some(file) => {
                let (incarnation, cluster_id) = file.ids();
                (Some(incarnation), cluster_id)
            }
            None => (None, None),
        }
    }
}

/// A node without an identity of its own, in a cluster of this name.
impl From<&str> for Profile {
    fn from(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), ..Self::default() }
    }
}

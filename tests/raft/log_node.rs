//! One node as its clients see it: the calls of the example `raft_log`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use traitwire::{RpcClient, RpcResult};
use traitwire_kv::services::raft::{Index, NodeId, Term};

/// How long a node may take to answer. A node that is stopped never does.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a record is, once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Place {
    pub(crate) index: Index,
    pub(crate) term: Term,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct State {
    pub(crate) term: Term,
    pub(crate) leads: bool,
    pub(crate) leader: Option<NodeId>,
    pub(crate) commit_index: Index,
    pub(crate) applied_index: Index,
    pub(crate) base_index: Index,
    pub(crate) last_index: Index,
}

/// What a node has applied after some index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Page {
    pub(crate) up_to: Index,
    pub(crate) records: BTreeMap<Index, Value>,
}

/// A line to one node that nothing disturbs.
#[derive(Clone, Debug)]
pub(crate) struct LogNode(RpcClient);

impl LogNode {
    pub(crate) fn new(url: &str) -> Self {
        Self(RpcClient::builder(url).timeout(CALL_TIMEOUT).build())
    }

    /// Adds a record if the node leads.
    pub(crate) async fn append(&self, record: &Value) -> RpcResult<Option<Place>> {
        // One parameter is the message itself.
        self.0.try_call("log.append", record).await
    }

    pub(crate) async fn get(&self, index: Index) -> RpcResult<Option<Value>> {
        self.0.try_call("log.get", &index).await
    }

    pub(crate) async fn list(&self, after: Index, limit: u64) -> RpcResult<Page> {
        self.0.try_call("log.list", &json!({ "after": after, "limit": limit })).await
    }

    pub(crate) async fn state(&self) -> RpcResult<State> {
        self.0.try_call("log.state", &json!({})).await
    }
}

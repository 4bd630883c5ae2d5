//! A client of the cluster: it looks for the leader, and tries again until its record is committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use traitwire_kv::services::raft::{Index, NodeId};

use crate::log_node::{LogNode, Place};
use crate::witness::{View, Witness};

/// How long agreement may take, whatever was wrong before.
pub(crate) const AGREEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// After how long a client submits again what was not committed.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a client waits for news of a leader before it tries all nodes again.
const LEADER_PATIENCE: Duration = Duration::from_millis(100);

/// Submits records on the main side of the network.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<Witness>);

impl Client {
    /// Submits a record until `nodes` nodes have applied it, and gives its index.
    pub(crate) async fn agree(&self, record: impl Into<Value>, nodes: usize) -> Index {
        let record = record.into();
        let end = Instant::now() + AGREEMENT_TIMEOUT;
        loop {
            if let Some(index) = self.try_agree(&record, nodes, end).await {
                return index;
            }
            if Instant::now() >= end {
                let what = format!("{nodes} nodes agree on {record}");
                self.0.wait(Duration::ZERO, what, |_| None::<()>).await;
            }
        }
    }

    /// Submits a record once a leader takes it. Gives its index if it is committed there, on `nodes` nodes, before a client
    /// would submit it again.
    pub(crate) async fn try_agree(&self, record: &Value, nodes: usize, end: Instant) -> Option<Index> {
        let (_, place) = self.submit(record, end).await?;
        let time = RETRY_AFTER.min(end.saturating_duration_since(Instant::now()));
        let committed = |view: &View| match view.committed(place.index) {
            Some(other) if other != record => Some(None),
            _ => (view.holders(place.index, record) >= nodes).then_some(Some(place.index)),
        };
        self.0.within(time, committed).await.flatten()
    }

    /// Submits a record to whoever leads.
    pub(crate) async fn submit(&self, record: &Value, end: Instant) -> Option<(NodeId, Place)> {
        while Instant::now() < end {
            let asked_at = Instant::now();
            for (id, node) in self.0.see(by_hope) {
                if let Ok(Some(place)) = node.append(record).await {
                    return Some((id, place));
                }
            }
            let _leader = self.0.within(LEADER_PATIENCE, |view| view.leader(asked_at)).await;
        }
        None
    }
}

/// The nodes of the main side, those first that say that they lead.
fn by_hope(view: &View) -> Vec<(NodeId, LogNode)> {
    let mut nodes: Vec<_> = view.nodes.iter().filter(|(_, node)| node.takes_part()).collect();
    nodes.sort_by_key(|(_, node)| {
        let leads_in = node.seen.filter(|(_, state)| state.leads).map(|(_, state)| state.term);
        std::cmp::Reverse(leads_in)
    });
    nodes.into_iter().map(|(id, node)| (*id, node.line.clone())).collect()
}

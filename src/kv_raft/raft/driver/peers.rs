//! The ways to the other nodes: each has its own calls under way, so that a node which hangs holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use traitwire::log::LogThrottle;
use traitwire::{RpcError, RpcResult};

use super::Inbound;
use crate::kv_raft::raft::contacts::Contacts;
use crate::kv_raft::raft::core::{Reply, Request, Sent};
use crate::kv_raft::raft::storage::SnapshotAccess;
use crate::kv_raft::raft::transport::Transport;
use crate::services::raft::{InstallSnapshotArgs, NodeId, SnapshotProgress};

/// How many calls may be under way to one node.
const CALLS_MAX: usize = 32;

/// How long a vote or a sign of life may take: longer than that, and it is too late to matter.
const SHORT_TIMEOUT: Duration = Duration::from_millis(200);

/// How long entries or a piece of a snapshot may take, with what they need of the other node's disk.
const LONG_TIMEOUT: Duration = Duration::from_secs(1);

/// The bytes of a snapshot in one message; two thirds of what a server takes, for base64.
const PIECE_BYTES: usize = 1 << 20;

/// The ways to all other nodes.
pub(super) struct Peers {
    transport: Arc<dyn Transport>,
    snapshots: SnapshotAccess,
    inbox: mpsc::WeakSender<Inbound>,
    calls: BTreeMap<NodeId, Arc<Semaphore>>,
    contacts: Arc<Contacts>,
}

impl Peers {
    pub(super) fn new(
        nodes: Vec<NodeId>,
        transport: Arc<dyn Transport>,
        snapshots: SnapshotAccess,
        inbox: mpsc::WeakSender<Inbound>,
        contacts: Arc<Contacts>,
    ) -> Self {
        let calls = nodes.into_iter().map(|node| (node, Arc::new(Semaphore::new(CALLS_MAX)))).collect();
        Self { transport, snapshots, inbox, calls, contacts }
    }

    /// Sends a request; what becomes of it arrives in the inbox. Gives it back as failed when too much is under way.
    pub(super) fn send(&self, to: NodeId, request: Request) -> Result<(), Sent> {
        let sent = request.sent();
        let permit =
            self.calls.get(&to).and_then(|calls| calls.clone().try_acquire_owned().ok()).ok_or(sent)?;
        let transport = self.transport.clone();
        let snapshots = self.snapshots.clone();
        let inbox = self.inbox.clone();
        let contacts = self.contacts.clone();
        tokio::spawn(async move {
            let timeout = timeout_of(&request);
            let call = async {
                let request = complete(request, snapshots).await?;
                transport.send(to, request).await
            };
            let outcome = match tokio::time::timeout(timeout, call).await {
                Ok(outcome) => outcome,
                Err(_) => Err(RpcError::deadline_exceeded("no answer in time")),
            };
            drop(permit);
            contacts.note(to, outcome.as_ref());
            log_snapshot_sent(to, &outcome);
            // A driver that has ended wants no answers.
            if let Some(inbox) = inbox.upgrade() {
                let _ended = inbox.send(inbound(to, sent, outcome)).await;
            }
        });
        Ok(())
    }
}

/// Logs that another node has received the whole of a snapshot.
fn log_snapshot_sent(to: NodeId, outcome: &RpcResult<Reply>) {
    static SENT: LogThrottle = LogThrottle::new(Duration::from_secs(1));
    if let Ok(Reply::Snapshot(reply)) = outcome
        && reply.progress == SnapshotProgress::Installed
        && let Some(suppressed) = SENT.permit()
    {
        tracing::info!(peer = to, index = reply.last_index, suppressed, "snapshot sent");
    }
}

fn inbound(from: NodeId, sent: Sent, outcome: RpcResult<Reply>) -> Inbound {
    match outcome {
        Ok(reply) => Inbound::Reply { from, reply },
        Err(error) => {
            tracing::debug!(to = from, ?sent, "no answer: {error}");
            Inbound::Failed { to: from, sent }
        }
    }
}

fn timeout_of(request: &Request) -> Duration {
    match request {
        Request::Append(args) if !args.entries.is_empty() => LONG_TIMEOUT,
        Request::Snapshot(_) => LONG_TIMEOUT,
        Request::Append(_) | Request::PreVote(_) | Request::Vote(_) | Request::TimeoutNow(_) => SHORT_TIMEOUT,
    }
}

/// Puts the bytes into a piece of a snapshot.
async fn complete(request: Request, snapshots: SnapshotAccess) -> RpcResult<Request> {
    let Request::Snapshot(args) = request else { return Ok(request) };
    let (snapshot, offset) = (args.snapshot.clone(), args.offset);
    let read = snapshots.run(move |it| it.read(&snapshot, offset, PIECE_BYTES)).await;
    let piece = read.map_err(|_| RpcError::internal("reading the snapshot was interrupted"))?;
    let piece = piece.map_err(|error| RpcError::internal(format!("cannot read the snapshot: {error}")))?;
    let (data, last) = piece.ok_or_else(|| RpcError::unavailable("there is a newer snapshot"))?;
    Ok(Request::Snapshot(InstallSnapshotArgs { data, last, ..args }))
}

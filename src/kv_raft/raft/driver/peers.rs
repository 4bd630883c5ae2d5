//! The ways to the other nodes: each has its own calls under way, so that a node which hangs holds up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use traitwire::RpcError;
use traitwire::log::LogThrottle;

use super::Inbound;
use crate::kv_raft::raft::KnownMembership;
use crate::kv_raft::raft::contacts::Contacts;
use crate::kv_raft::raft::core::{Reply, Request, Sent};
use crate::kv_raft::raft::storage::SnapshotAccess;
use crate::kv_raft::raft::transport::Transport;
use crate::services::raft::{InstallSnapshotArgs, NodeId, SnapshotProgress};

/// How many calls may be under way to one node.
const CALLS_MAX: usize = 64;

/// How often it is logged that a node is far away.
const FAR_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Which part of the election timeout a round trip may take before that is worth a warning.
const FAR_PART: u64 = 5;

/// The ways to all other nodes.
pub(super) struct Peers {
    transport: Arc<dyn Transport>,
    snapshots: SnapshotAccess,
    inbox: mpsc::WeakSender<Inbound>,
    peers: BTreeMap<NodeId, Peer>,
    contacts: Arc<Contacts>,
}

/// The way to one other node.
struct Peer {
    calls: Arc<Semaphore>,
    far: LogThrottle,
}

/// What bounds a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long its answer may take.
    pub(super) time: Duration,
    /// The bytes of a piece of a snapshot, at most.
    pub(super) piece_bytes: usize,
}

/// Why a request was not answered.
enum Unanswered {
    Failed(RpcError),
    /// There is a newer snapshot than the one that was to be sent.
    SnapshotGone,
}

impl From<RpcError> for Unanswered {
    fn from(error: RpcError) -> Self {
        Self::Failed(error)
    }
}

impl Peers {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        snapshots: SnapshotAccess,
        inbox: mpsc::WeakSender<Inbound>,
        contacts: Arc<Contacts>,
    ) -> Self {
        Self { transport, snapshots, inbox, peers: BTreeMap::new(), contacts }
    }

    /// Takes in who belongs to the cluster now, before anything is sent that depends on it.
    pub(super) fn follow(&mut self, nodes: &[NodeId], known: &KnownMembership) {
        let peer =
            || Peer { calls: Arc::new(Semaphore::new(CALLS_MAX)), far: LogThrottle::new(FAR_LOGGED_EVERY) };
        self.peers.retain(|node, _| nodes.contains(node));
        for node in nodes {
            self.peers.entry(*node).or_insert_with(peer);
        }
        self.contacts.set_nodes(nodes);
        self.transport.follow(known);
    }

    /// Sends a request; what becomes of it arrives in the inbox. Gives it back as failed when too much is under way.
    pub(super) fn send(&self, to: NodeId, request: Request, bounds: Bounds) -> Result<(), Sent> {
        let sent = request.sent();
        let permit = self.peers.get(&to).and_then(|peer| peer.calls.clone().try_acquire_owned().ok());
        let permit = permit.ok_or(sent)?;
        let transport = self.transport.clone();
        let snapshots = self.snapshots.clone();
        let inbox = self.inbox.clone();
        let contacts = self.contacts.clone();
        // What entries and pieces of snapshots take depends on their length and on the other node's disk.
        let small_since = (!request.is_bulk()).then(Instant::now);
        tokio::spawn(async move {
            let call = async {
                let request = complete(request, snapshots, bounds.piece_bytes).await?;
                Ok(transport.send(to, request).await?)
            };
            let outcome = match tokio::time::timeout(bounds.time, call).await {
                Ok(outcome) => outcome,
                Err(_) => Err(RpcError::deadline_exceeded("no answer in time").into()),
            };
            drop(permit);
            match &outcome {
                Ok(reply) => contacts.note(to, Ok(reply)),
                Err(Unanswered::Failed(error)) => contacts.note::<Reply>(to, Err(error)),
                // Nothing was sent.
                Err(Unanswered::SnapshotGone) => {}
            }
            log_snapshot_sent(to, &outcome);
            // A driver that has ended wants no answers.
            if let Some(inbox) = inbox.upgrade() {
                let _ended = inbox.send(inbound(to, sent, outcome, small_since)).await;
            }
        });
        Ok(())
    }

    /// No snapshot is being sent any more.
    pub(super) fn release_snapshots(&self) {
        self.snapshots.snapshots.release();
    }

    /// Warns of a node that is so far away that elections take longer than configured.
    pub(super) fn note_round_trip(&self, to: NodeId, round_trip_us: u64, election_timeout_us: u64) {
        if FAR_PART * round_trip_us > election_timeout_us
            && let Some(peer) = self.peers.get(&to)
            && peer.far.permit().is_some()
        {
            let (round_trip_ms, timeout_ms) = (round_trip_us / 1_000, election_timeout_us / 1_000);
            tracing::warn!(
                peer = to,
                "a round trip to node {to} takes {round_trip_ms} ms, more than a fifth of the election timeout \
                 of {timeout_ms} ms: elections wait longer; see `--election-timeout`"
            );
        }
    }
}

/// Logs that another node has received the whole of a snapshot.
fn log_snapshot_sent(to: NodeId, outcome: &Result<Reply, Unanswered>) {
    static SENT: LogThrottle = LogThrottle::new(Duration::from_secs(1));
    if let Ok(Reply::Snapshot(reply)) = outcome
        && reply.progress == SnapshotProgress::Installed
        && let Some(suppressed) = SENT.permit()
    {
        tracing::info!(peer = to, index = reply.last_index, suppressed, "snapshot sent");
    }
}

fn inbound(from: NodeId, sent: Sent, outcome: Result<Reply, Unanswered>, since: Option<Instant>) -> Inbound {
    match outcome {
        Ok(reply) => Inbound::Reply { from, reply, round_trip: since.map(|since| since.elapsed()) },
        Err(Unanswered::SnapshotGone) => Inbound::SnapshotGone { to: from, sent },
        Err(Unanswered::Failed(error)) => {
            tracing::debug!(to = from, ?sent, "no answer: {error}");
            Inbound::Failed { to: from, sent }
        }
    }
}

/// Puts the bytes into a piece of a snapshot.
async fn complete(
    request: Request,
    snapshots: SnapshotAccess,
    piece_bytes: usize,
) -> Result<Request, Unanswered> {
    let Request::Snapshot(args) = request else { return Ok(request) };
    let (snapshot, offset) = (args.snapshot.clone(), args.offset);
    let read = snapshots.run(move |it| it.read(&snapshot, offset, piece_bytes)).await;
    let piece = read.map_err(|_| RpcError::internal("reading the snapshot was interrupted"))?;
    let piece = piece.map_err(|error| RpcError::internal(format!("cannot read the snapshot: {error}")))?;
    let (data, last) = piece.ok_or(Unanswered::SnapshotGone)?;
    Ok(Request::Snapshot(InstallSnapshotArgs { data, last, ..args }))
}

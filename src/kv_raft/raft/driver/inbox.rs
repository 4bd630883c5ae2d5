//! The way into the driver: what can happen to a node, and a handle to make it happen.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use traitwire::{RpcError, RpcResult};

use crate::kv_raft::raft::core::{Change, Changed, Core, Proposed, ReadOutcome, Reply, Request, Sent};
use crate::services::raft::{Command, Membership, NodeId, SnapshotMeta};

/// How many messages may wait for the driver.
const INBOX_MAX: usize = 4_096;

/// How long another node may wait for an answer; it gives up much earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Hears what becomes of a proposal.
pub(in crate::kv_raft) type Told = Box<dyn FnOnce(Proposed) + Send>;

/// What can happen to a node.
pub(in crate::kv_raft::raft) enum Inbound {
    /// Another node asks.
    Request { from: NodeId, request: Request, answer: oneshot::Sender<Reply> },
    /// Another node has answered; how long that took, if the question had neither entries nor a piece of a snapshot.
    Reply { from: NodeId, reply: Reply, round_trip: Option<Duration> },
    /// Another node has not answered.
    Failed { to: NodeId, sent: Sent },
    /// A piece of a snapshot that is not there any more was to be sent.
    SnapshotGone { to: NodeId, sent: Sent },
    /// Somebody wants commands in the log. What becomes of that is told at once, so that it takes no wake-up.
    Propose { commands: Vec<Command>, told: Told },
    /// Somebody wants to read.
    Read { answer: oneshot::Sender<ReadOutcome> },
    /// A snapshot is on the disk.
    SnapshotSaved(SnapshotMeta),
    /// What was received of a snapshot is gone from the disk.
    SnapshotGivenUp,
    /// The leadership is to be handed over; told when this node does not lead (any more).
    Transfer { to: Option<NodeId>, handed_over: oneshot::Sender<()> },
    /// Somebody wants another membership.
    Change { change: Change, answer: oneshot::Sender<Changed> },
    /// A new cluster begins; whether it has.
    Found { membership: Membership, answer: oneshot::Sender<bool> },
    /// Somebody wants to look at the core.
    Inspect(Box<dyn FnOnce(&Core) + Send>),
    /// The node is to stop, once everything before is done.
    Stop,
}

/// Puts messages into a driver's inbox.
#[derive(Clone)]
pub(in crate::kv_raft::raft) struct Inbox(pub(super) mpsc::Sender<Inbound>);

impl Inbox {
    /// An inbox, and the driver's end of it: what it needs to receive, and to be told of what it has sent. The node ends when
    /// the last inbox is dropped.
    pub(in crate::kv_raft::raft) fn new() -> (Self, (mpsc::WeakSender<Inbound>, mpsc::Receiver<Inbound>)) {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        let weak = sender.downgrade();
        (Self(sender), (weak, receiver))
    }

    /// Hands another node's question in and waits for the answer.
    pub(in crate::kv_raft::raft) async fn ask(&self, from: NodeId, request: Request) -> RpcResult<Reply> {
        let (answer, answered) = oneshot::channel();
        // What does not fit is refused at once: the other node knows better when to try again.
        let full_or_ended = |_| RpcError::unavailable("this node takes no messages now").not_executed();
        self.0.try_send(Inbound::Request { from, request, answer }).map_err(full_or_ended)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(RpcError::unavailable("this node is stopping")),
            Err(_) => Err(RpcError::unavailable("this node's disk does not answer")),
        }
    }

    /// Puts a message in; false, and nothing comes of it, when the node has stopped.
    pub(in crate::kv_raft::raft) async fn send(&self, message: Inbound) -> bool {
        self.0.send(message).await.is_ok()
    }

    /// Puts a question in and waits for its answer; nothing when the node has stopped.
    pub(in crate::kv_raft::raft) async fn request<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Inbound,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.send(question(answer)).await.ok()?;
        answered.await.ok()
    }
}

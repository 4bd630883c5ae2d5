//! Why a node ends by itself, and why it refuses a command or a read.

use std::sync::Arc;

use super::core::Refusal;
use super::storage::StorageError;
use super::{COMMAND_BYTES_MAX, Raft};

/// Why a node has ended by itself. Nothing is known of its disk until it is opened again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Ended {
    /// Its disk has failed.
    #[error(transparent)]
    Disk(Arc<StorageError>),
    /// Another process runs with a copy of its data folder.
    #[error(
        "another process runs as this node with a copy of its data folder, at {url}: two nodes must not share a folder. Start this \
         one with an empty folder; if it is to take the place of the other one, stop that one first"
    )]
    Copied {
        /// Where the other process is.
        url: String,
    },
    /// It has found itself in a state that cannot be, and panicked.
    #[error("the node has panicked")]
    Panicked,
}

/// Why a command or a read was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaftError {
    /// The node has refused it: nothing of it is in any log.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The command is longer than [`COMMAND_BYTES_MAX`](super::COMMAND_BYTES_MAX): nothing of it is in any log.
    #[error("a command may have {COMMAND_BYTES_MAX} bytes, not {bytes}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// The node has stopped, or stopped before it answered: a command may be in its log.
    #[error("the node has stopped")]
    Stopped,
}

impl Raft {
    /// Stops the node, which must not go on for this reason.
    pub(in crate::kv_raft) async fn end(&self, reason: Ended) {
        // A node ends once: the first reason counts.
        let _ended_before = self.end_reason.set(reason);
        self.stop().await;
    }
}

//! Why a node ends by itself, and why it refuses a command or a read.

use std::sync::Arc;

use super::COMMAND_BYTES_MAX;
use super::core::Refusal;
use super::storage::StorageError;

/// Why a node has ended by itself. Nothing is known of its disk until it is opened again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Ended {
    /// Its disk has failed.
    #[error(transparent)]
    Disk(Arc<StorageError>),
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

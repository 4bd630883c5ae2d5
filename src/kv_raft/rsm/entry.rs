//! What an entry of the log says to the replicated state machine.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::services::raft::{Command, Index};
use crate::services::rsm::Ticket;

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    /// An id that no other entry has: 64 random bits.
    pub(super) id: u64,
    /// What to do.
    #[serde(borrow)]
    pub(super) action: Action<'a>,
}

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action<'a> {
    /// Run a command.
    Run {
        /// With it, run the command once only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<Ticket>,
        /// The command.
        #[serde(borrow)]
        command: &'a RawValue,
    },
    /// Begin a session.
    OpenSession,
    /// Compare what the replies up to an index add up to.
    Compare {
        /// The index.
        index: Index,
        /// What they add up to on the leader.
        digest: u32,
    },
}

/// The entry as a command for the log.
pub(super) fn encode(id: u64, action: &Action<'_>) -> Command {
    #[derive(Serialize)]
    struct Borrowed<'a, 'b> {
        id: u64,
        action: &'a Action<'b>,
    }
    Command::new(&Borrowed { id, action }).expect("it has string keys and no other way to fail")
}

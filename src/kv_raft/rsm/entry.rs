//! What an entry of the log says to the replicated state machine.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::services::raft::{Command, Index, NodeId};
use crate::services::rsm::Ticket;

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    /// An id that no other entry has: 64 random bits.
    pub(super) id: u64,
    /// Who opens a session, as a hash of what the client calls itself. With it, `id` is the session's name.
    #[serde(default)]
    pub(super) owner: Option<u64>,
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
        /// What they add up to: on the nodes that `agreed` names, or on the leader.
        digest: u32,
        /// The nodes that came to this digest, if a majority did. Otherwise this is only what the leader has, and asks
        /// the others for what they have.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        agreed: Vec<NodeId>,
    },
}

/// The entry as a command for the log.
pub(super) fn encode(id: u64, owner: Option<u64>, action: &Action<'_>) -> Command {
    #[derive(Serialize)]
    struct Borrowed<'a, 'b> {
        id: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<u64>,
        action: &'a Action<'b>,
    }
    Command::new(&Borrowed { id, owner, action }).expect("it has string keys and no other way to fail")
}

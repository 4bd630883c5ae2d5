//! What state machines come to, and what clients are told.

use traitwire_kv::kv_raft::raft::core::Token;
use traitwire_kv::services::raft::{Index, NodeId, Term};

use super::{Invariants, place};
use crate::machine::CommandId;
use crate::network::at;
use crate::violation::{Rule, Violation, ensure};

impl Invariants {
    /// The entry of a cluster at an index that is committed is of this term.
    pub(crate) fn is_committed(&self, cluster: usize, index: Index, term: Term) -> bool {
        self.books[cluster].committed.get(place(index)).is_some_and(|committed| committed.term == term)
    }

    /// A node has applied an entry, and its state is this now.
    pub(crate) fn on_applied(
        &mut self,
        id: NodeId,
        index: Index,
        command: Option<CommandId>,
        digest: u64,
    ) -> Result<(), Violation> {
        let cluster = self.bodies[self.current[at(id)]].cluster;
        let committed = self.committed_index(cluster);
        ensure(index <= committed, Rule::CommittedForEver, || {
            format!("node {id} applies entry {index}, of which {committed} are committed")
        })?;
        let states = &mut self.books[cluster].states;
        if place(index) == states.len() {
            states.push(digest);
            if let Some(command) = command {
                let first = *self.applied.entry(command).or_insert(index);
                ensure(first == index, Rule::AppliedOnce, || {
                    format!("command {command} is applied at {first} and at {index}")
                })?;
                ensure(!self.never.contains(&command), Rule::AppliedOnce, || {
                    format!(
                        "command {command} is applied at {index}; its client was told that it is in no log"
                    )
                })?;
            }
        }
        self.check_state(id, index, digest)
    }

    /// A node has the state as of an index.
    pub(crate) fn check_state(&self, id: NodeId, index: Index, digest: u64) -> Result<(), Violation> {
        let known = self.book(self.current[at(id)]).states.get(place(index));
        ensure(known == Some(&digest), Rule::EqualReplicas, || {
            format!("node {id} has another state at {index} than the first node that was there")
        })
    }

    /// A client was told that its command took effect.
    pub(crate) fn on_told_applied(&self, command: CommandId) -> Result<(), Violation> {
        ensure(self.applied.contains_key(&command), Rule::CommittedForEver, || {
            format!("a client was told of the effect of command {command}, which is not committed")
        })
    }

    /// A client was told that its command is in no log.
    pub(crate) fn on_told_never(&mut self, command: CommandId) -> Result<(), Violation> {
        self.never.insert(command);
        ensure(!self.applied.contains_key(&command), Rule::AppliedOnce, || {
            format!("command {command} is applied; its client was told that it is in no log")
        })
    }

    /// A read is asked for.
    pub(crate) fn on_read(&mut self, token: Token) {
        // Clients ask the first cluster.
        self.reads.insert(token, self.committed_index(0));
    }
}

//! The state of a node without the node: what its folder adds up to.

use std::io::{self, Read};
use std::sync::Arc;

use super::replica::{self, Replica};
use super::{RsmError, StateMachine};
use crate::kv_raft::raft::SnapshotReader;
use crate::kv_raft::raft::core::Restored;
use crate::kv_raft::raft::storage::Snapshots;

/// Restores a snapshot into `machine`, which is in its first state, and applies all entries of the log, committed or not. Gives the
/// state as the bytes of a snapshot.
pub(in crate::kv_raft) fn replay<M: StateMachine>(
    machine: M,
    restored: &Restored,
    snapshots: &Arc<dyn Snapshots>,
) -> Result<Box<dyn Read + Send>, RsmError> {
    let mut replica = Replica::new(machine);
    if let Some(meta) = &restored.snapshot {
        let index = meta.last_index;
        let reader = io::BufReader::new(SnapshotReader::new(snapshots.clone(), meta.clone()));
        replica.restore(index, reader).map_err(|error| RsmError::Snapshot { index, error })?;
    }
    for (index, entry) in (restored.base_index + 1..).zip(&restored.entries) {
        if index > replica.applied {
            replica.apply(index, entry)?;
        }
    }
    Ok(Box::new(replica.snapshot()))
}

/// Checks that the bytes of a snapshot can be restored.
pub(in crate::kv_raft) fn check_state<M: StateMachine>(state: &mut dyn Read) -> io::Result<()> {
    Replica::<M>::check(state)
}

/// Reads what comes before the state machine's own part in the bytes of a snapshot.
pub(in crate::kv_raft) fn skip_head(state: &mut dyn Read) -> io::Result<()> {
    replica::read_head(state).map(drop)
}

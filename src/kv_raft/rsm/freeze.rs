//! The state of a node as of one index, to be read while commands go on.

use std::io::Read;

use tokio::time::{Instant, timeout_at};

use super::{Rsm, StateMachine, locked};
use crate::services::raft::{Index, SnapshotMeta};
use crate::services::rsm::ReplyErr;

/// How often a state is frozen, when each time a snapshot has taken the place of its last entry before that was looked up.
const TRIES: usize = 5;

/// The state of a node as of one index. It holds on to what changes afterwards until it is dropped.
pub struct Frozen {
    /// Which state it is.
    pub meta: SnapshotMeta,
    /// Its bytes, as those of a snapshot. Reading them costs time and never waits.
    pub state: Box<dyn Read + Send>,
    /// About how many bytes it has, where that is known.
    pub bytes_estimate: Option<u64>,
}

impl<M: StateMachine> Rsm<M> {
    /// Freezes the state once this node has applied the log up to `index`, see [`Rsm::read_index`].
    ///
    /// # Errors
    /// When the node is too far behind to get there in time, or is stopping.
    pub async fn freeze(&self, index: Index, until: Instant) -> Result<Frozen, ReplyErr> {
        let no_answer = |message: String| ReplyErr::NoAnswer { message, submitted: false };
        let late =
            |_| no_answer(format!("node {} has not caught up to index {index} in time", self.raft.id()));
        let stopping = || no_answer("the node is stopping".into());
        timeout_at(until, async {
            if !self.applied.reach(index).await {
                return Err(stopping());
            }
            for _ in 0..TRIES {
                let (applied, state, bytes_estimate) = {
                    let replica = locked(&self.replica);
                    let bytes_estimate = replica.machine.snapshot_bytes_estimate();
                    (replica.applied, replica.snapshot(), bytes_estimate)
                };
                // The others may have committed what this node's own disk does not have yet.
                let mut status = self.raft.watch();
                if status.wait_for(|status| status.durable_index >= applied).await.is_err() {
                    return Err(stopping());
                }
                let meta = self.raft.inspect(move |core| match applied {
                    // Nothing has happened yet.
                    0 => Some(SnapshotMeta {
                        last_index: 0,
                        last_term: 0,
                        membership: core.membership().clone().into(),
                    }),
                    applied => core.snapshot_meta(applied),
                });
                if let Some(meta) = meta.await.ok_or_else(stopping)? {
                    return Ok(Frozen { meta, state: Box::new(state), bytes_estimate });
                }
            }
            Err(no_answer("snapshots come faster than the state can be frozen".into()))
        })
        .await
        .map_err(late)?
    }
}

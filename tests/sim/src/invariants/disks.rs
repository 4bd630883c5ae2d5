//! What a disk has after a sync, and what a node finds on it when it starts.

use traitwire_kv::kv_raft::raft::core::{Op, Restored};
use traitwire_kv::services::raft::NodeId;

use super::{Invariants, Watched, hash_entry, place};
use crate::network::at;
use crate::shadow::Shadow;
use crate::violation::{Rule, Violation, ensure};

impl Invariants {
    /// The oldest of a node's changes, so many operations of them, are synced.
    pub(crate) fn on_synced(&mut self, id: NodeId, ops: usize) -> Result<(), Violation> {
        let Watched { cluster, disk, unsynced, .. } = &mut self.bodies[self.current[at(id)]];
        let cluster = *cluster;
        let mut shrank = false;
        for op in unsynced.drain(..ops) {
            let last_index = disk.last_index();
            disk.apply(&op);
            shrank |= disk.last_index() < last_index || matches!(op, Op::Truncate(_) | Op::Install { .. });
        }
        if shrank { self.check_durable(cluster) } else { Ok(()) }
    }

    /// A node starts with what it has found on its disk: what was synced and a part, from the beginning, of the rest.
    pub(crate) fn on_restart(&mut self, id: NodeId, restored: &Restored) -> Result<(), Violation> {
        let body = self.current[at(id)];
        let watched = &mut self.bodies[body];
        let found = Shadow::of(restored);
        let newest = restored.snapshot.as_ref();
        let mut disk = watched.disk.clone();
        let fits = |disk: &Shadow| {
            let mut disk = disk.clone();
            disk.reconcile(newest);
            disk == found
        };
        let mut is_prefix = fits(&disk);
        let ops = std::mem::take(&mut watched.unsynced);
        for op in &ops {
            disk.apply_in_steps(op, |disk| is_prefix = is_prefix || fits(disk));
        }
        ensure(is_prefix, Rule::Storage, || {
            format!(
                "node {id} finds {found} on its disk, where {} was synced and then given {ops:?}",
                watched.disk
            )
        })?;
        // A term that was not durable was told to nobody.
        watched.term = found.term;
        watched.commit = newest.map_or(0, |snapshot| snapshot.last_index);
        watched.disk = found;
        watched.find_memberships(restored);
        let cluster = watched.cluster;
        for (index, entry) in (restored.base_index + 1..).zip(&restored.entries) {
            let payload = hash_entry(entry);
            let seen = self.books[cluster]
                .entries
                .get(place(index))
                .and_then(|all| all.iter().find(|it| it.term == entry.term));
            ensure(seen.is_some_and(|seen| seen.payload == payload), Rule::Storage, || {
                format!("node {id} finds an entry {index} of term {} that was never written", entry.term)
            })?;
        }
        self.check_durable(cluster)
    }
}

//! How a node ends: by a loss of power, by being killed, or in good order.

use traitwire_kv::services::raft::NodeId;

use super::host::{cannot, ops_of, write};
use super::{Cluster, Event};
use crate::network::at;
use crate::node::Life;
use crate::violation::Violation;

impl Cluster {
    /// A node loses its power, and what it had not synced in parts.
    pub(crate) fn crash(&mut self, id: NodeId) {
        if self.end(id, "loses its power") {
            self.nodes[at(id)].disk.crash(&mut self.random);
        }
    }

    /// The process of a node ends; its machine goes on.
    pub(crate) fn kill(&mut self, id: NodeId) {
        if self.end(id, "is killed") {
            self.nodes[at(id)].disk.kill();
        }
    }

    /// Ends a node in the middle of whatever it does, and lets it start again later. Says whether it was up.
    fn end(&mut self, id: NodeId, how: &str) -> bool {
        let down_us =
            if self.random.bool() { self.random.u64(0..50_000) } else { self.random.u64(0..2_000_000) };
        let cut_after = self.random.u32(0..8);
        let Some(mut life) = self.nodes[at(id)].life.take() else { return false };
        self.trace.line(self.now, || format!("n{id} {how}"));
        self.counts.crashes += 1;
        let node = self.node(id);
        node.disk.cut_power_after(cut_after);
        node.crash_at = None;
        // A failure is over with the life that saw it; a full disk is not.
        node.disk_may_fail = node.disk.is_full();
        // The disk may have got to any place of what it was given. What it says is heard by nobody.
        if let Some(batch) = life.syncing.take() {
            let _ = write(&mut *life.storage, &batch);
        }
        if let Some((snapshot, bytes)) = life.saving.take() {
            let _ = life.snapshots.save(&snapshot, &mut &bytes[..]);
        }
        self.hang_up_all(id, &life);
        drop(life);
        let start_at = self.node(id).down_until.max(self.now + down_us);
        self.queue.add(start_at, Event::Start(id));
        true
    }

    /// A node ends in good order, and starts again soon.
    pub(crate) fn stop(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(mut life) = self.nodes[at(id)].life.take() else { return Ok(()) };
        self.trace.line(self.now, || format!("n{id} stops"));
        let mut batch = life.syncing.take().unwrap_or_default();
        batch.append(&mut life.queue);
        let written = write(&mut *life.storage, &batch).and_then(|()| life.storage.idle());
        let node = self.node(id);
        let may_fail = std::mem::replace(&mut node.disk_may_fail, node.disk.is_full());
        match written {
            Ok(()) => self.invariants.on_synced(id, ops_of(&batch))?,
            Err(_) if may_fail => {}
            Err(error) => return Err(cannot(id, "stop", &error)),
        }
        self.hang_up_all(id, &life);
        drop(life);
        self.node(id).disk.kill();
        let down_us = self.random.u64(1_000..300_000);
        self.add(down_us, Event::Start(id));
        Ok(())
    }

    fn hang_up_all(&mut self, id: NodeId, life: &Life) {
        for asker in life.askers.values() {
            self.hang_up(id, asker.place, asker.call);
        }
    }
}

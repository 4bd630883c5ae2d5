//! What a host does for its disk beside writing: it looks for space, and says that the log is idle.

use traitwire_kv::kv_raft::raft::core::{DiskSpace, Input};
use traitwire_kv::services::raft::NodeId;

use super::host::cannot;
use super::{Cluster, NodeEvent};
use crate::violation::Violation;

impl Cluster {
    /// Tells the core if its disk is full, or is so no longer.
    pub(super) fn tell_space(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let space = life.storage.space();
        let number = life.number;
        if std::mem::replace(&mut life.space, space) != space {
            self.step(id, Input::Disk(space))?;
            if space == DiskSpace::Full {
                self.add_for(id, 50_000, NodeEvent::LookForSpace(number));
            }
        }
        Ok(())
    }

    pub(super) fn look_for_space(&mut self, id: NodeId) -> Result<(), Violation> {
        self.tell_space(id)?;
        if let Some(life) = self.life(id).filter(|life| life.space == DiskSpace::Full) {
            let number = life.number;
            self.add_for(id, 50_000, NodeEvent::LookForSpace(number));
            // Looking for space does not say that the disk has failed, and nothing else is asked of it now.
            return self.at_idle(id);
        }
        Ok(())
    }

    pub(super) fn at_idle(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(life) = self.life(id).filter(|life| life.syncing.is_none()) else { return Ok(()) };
        match life.storage.idle() {
            Ok(()) => Ok(()),
            Err(_) if self.node(id).disk_may_fail => {
                self.kill(id);
                Ok(())
            }
            Err(error) => Err(cannot(id, "be idle", &error)),
        }
    }
}

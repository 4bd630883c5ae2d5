//! How a host applies what is committed, and how it saves and restores the state.

use traitwire_kv::kv_raft::raft::core::{Committed, Input};
use traitwire_kv::services::raft::{Entry, Index, Membership, NodeId, Payload, SnapshotMeta};

use super::host::cannot;
use super::{Cluster, NodeEvent, is_full};
use crate::host_bug::HostBug;
use crate::machine::{Machine, Put};
use crate::node::CrashPoint;
use crate::plan::HostSettings;
use crate::violation::{Rule, Violation};

/// The bytes of entries that are taken from a core at once.
const APPLY_BYTES: usize = 2_000;

impl Cluster {
    /// Lets a node apply what there is, after a while.
    pub(super) fn apply_soon(&mut self, id: NodeId) {
        let after_us = self.plan.host.apply_us.draw(&mut self.random);
        if let Some(life) = self.life(id).filter(|life| !life.applying) {
            life.applying = true;
            let number = life.number;
            self.add_for(id, after_us, NodeEvent::Apply(number));
        }
    }

    pub(super) fn apply(&mut self, id: NodeId) -> Result<(), Violation> {
        let early = self.plan.has(HostBug::ApplyBeforeCommitted);
        let Some(life) = self.life(id) else { return Ok(()) };
        life.applying = false;
        let committed = life.core.committed(life.applied, APPLY_BYTES);
        match committed {
            Committed::Nothing if early => {
                let next = life.applied + 1;
                if let Some(entry) = life.core.entry(next).cloned() {
                    self.apply_entry(id, next, &entry)?;
                }
                return Ok(());
            }
            Committed::Nothing => return Ok(()),
            Committed::Entries { first, entries } => {
                for (index, entry) in (first..).zip(&entries) {
                    self.apply_entry(id, index, entry)?;
                }
            }
            Committed::Snapshot(snapshot) => self.restore(id, &snapshot)?,
        }
        self.serve_ready_reads(id);
        self.apply_soon(id);
        self.save_if_due(id)
    }

    fn apply_entry(&mut self, id: NodeId, index: Index, entry: &Entry) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let put = match &entry.payload {
            Payload::Command(command) => Put::parse(command),
            Payload::Blank | Payload::Membership(_) => None,
        };
        let result = put.map(|put| life.machine.apply(&put));
        life.applied = index;
        let digest = life.machine.digest();
        self.invariants.on_applied(id, index, put.map(|put| put.id), digest)?;
        if let Payload::Membership(membership) = &entry.payload {
            self.node(id).applied_membership = Some(Membership::clone(membership));
        }
        self.resolve_waiters(id, index, entry.term, put.zip(result))
    }

    /// Takes the state of a snapshot.
    fn restore(&mut self, id: NodeId, snapshot: &SnapshotMeta) -> Result<(), Violation> {
        let HostSettings { piece_bytes, ballast_bytes, .. } = self.plan.host;
        let passed_over = self.plan.has(HostBug::SnapshotPassedOver);
        let Some(life) = self.life(id) else { return Ok(()) };
        let mut bytes = Vec::new();
        loop {
            let piece = life.snapshots.read(snapshot, bytes.len() as u64, piece_bytes);
            match piece.map_err(|error| cannot(id, "read its snapshot", &error))? {
                Some((data, last)) => {
                    bytes.extend_from_slice(&data.0);
                    if last {
                        break;
                    }
                }
                // There is a newer one, of which the core is about to hear.
                None => return Ok(()),
            }
        }
        let state = &bytes[..bytes.len().saturating_sub(ballast_bytes)];
        let machine = Machine::restore(state)
            .ok_or_else(|| Violation::new(Rule::Storage, format!("node {id} has a snapshot that is none")))?;
        let index = snapshot.last_index;
        life.applied = index;
        if !passed_over {
            life.machine = machine;
        }
        // Whoever waits for an entry that the snapshot covers will not hear of it here.
        life.waiters.retain(|(waits_for, _), _| *waits_for > index);
        let digest = life.machine.digest();
        self.counts.restores += 1;
        self.invariants.check_state(id, index, digest)
    }

    fn save_if_due(&mut self, id: NodeId) -> Result<(), Violation> {
        let (every, ballast_bytes) = (self.plan.host.snapshot_every, self.plan.host.ballast_bytes);
        let save_us = self.plan.host.save_us.draw(&mut self.random);
        let (early, ahead) =
            (self.plan.has(HostBug::SnapshotReportedEarly), self.plan.has(HostBug::SnapshotNamedAhead));
        let without_versions = self.plan.has(HostBug::SnapshotWithoutVersions);
        let Some(life) = self.life(id) else { return Ok(()) };
        if every == 0 || life.applied < life.saved + every || life.saving.is_some() {
            return Ok(());
        }
        let index = if ahead { life.core.commit_index() } else { life.applied };
        let Some(snapshot) = life.core.snapshot_meta(index) else { return Ok(()) };
        self.invariants.check_saved(id, &snapshot)?;
        let Some(life) = self.life(id) else { return Ok(()) };
        let mut bytes = life.machine.save();
        if without_versions {
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte = if place % 24 == 16 {
                    1
                } else if place % 24 > 16 {
                    0
                } else {
                    *byte
                };
            }
        }
        bytes.resize(bytes.len() + ballast_bytes, 0);
        life.saved = index;
        life.saving = Some((snapshot.clone(), bytes));
        let number = life.number;
        self.add_for(id, save_us, NodeEvent::Saved(number));
        if self.node(id).crashes_at(CrashPoint::Saving) {
            self.crash(id);
            return Ok(());
        }
        if early {
            self.step(id, Input::SnapshotSaved(snapshot))?;
        }
        Ok(())
    }

    pub(super) fn at_saved(&mut self, id: NodeId) -> Result<(), Violation> {
        let Some(life) = self.life(id) else { return Ok(()) };
        let Some((snapshot, bytes)) = life.saving.take() else { return Ok(()) };
        match life.snapshots.save(&snapshot, &mut &bytes[..]) {
            Ok(()) => {}
            // The one of before stays. The next one may find space.
            Err(error) if is_full(&error) => return Ok(()),
            Err(_) if self.node(id).disk_may_fail => {
                self.kill(id);
                return Ok(());
            }
            Err(error) => return Err(cannot(id, "save a snapshot", &error)),
        }
        if self.node(id).crashes_at(CrashPoint::Saved) {
            self.crash(id);
            return Ok(());
        }
        self.step(id, Input::SnapshotSaved(snapshot)).map(drop)
    }
}

//! The task that applies: entries in order, snapshots when the log has grown, and the news for those who wait.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use traitwire::log::LogThrottle;

use super::applied::Applied;
use super::compare::Comparison;
use super::replica::Replica;
use super::waiters::Waiters;
use super::{RsmOptions, StateMachine, deposed, locked, stopping};
use crate::kv_raft::raft::core::{Committed, Role};
use crate::kv_raft::raft::{Applies, Ended, Raft};
use crate::services::raft::{self, Index, NodeId, Payload, SnapshotMeta, StateDigest, Term};
use crate::services::rsm::{Agreement, StateCheck};

/// Up to how many times the log's bytes of the options may wait for a snapshot that is as large.
const SNAPSHOT_LOG_FACTOR_MAX: usize = 4;

/// By which part a snapshot is early at most.
const EARLIEST: f64 = 0.25;

/// Why a node cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RsmError {
    /// The state of this node is not the one that a majority has come to.
    #[error(
        "up to index {index} the replies of this node's state machine differ from those of the nodes {agreed:?}, which \
         are a majority: its state cannot be trusted. Start it again: if it ends again, its snapshot is wrong, and it must \
         be left out. The cluster goes on while most of its nodes do"
    )]
    Diverged {
        /// Where.
        index: Index,
        /// The nodes that have come to the same.
        agreed: Vec<NodeId>,
    },
    /// A snapshot cannot be read.
    #[error(
        "snapshot {index} cannot be restored: {error}. Bring back its file as it was written, or leave this node out: the \
         cluster goes on while most of its nodes do"
    )]
    Snapshot {
        /// The last index that it contains.
        index: Index,
        /// Why.
        error: io::Error,
    },
    /// The state machine has panicked, or the code around it.
    #[error("the state machine has panicked")]
    Panicked,
    /// The node underneath has ended.
    #[error(transparent)]
    Raft(Ended),
}

/// The task.
pub(super) struct Applier<M> {
    raft: Arc<Raft>,
    replica: Arc<Mutex<Replica<M>>>,
    waiters: Waiters,
    applied: Arc<Applied>,
    comparison: Comparison,
    options: RsmOptions,
    /// The bytes of the entries since the newest snapshot.
    log_bytes: usize,
    /// The bytes of the last snapshot that was saved or restored.
    snapshot_bytes: Arc<AtomicUsize>,
    /// How early the next one is, from 0 to 1: not the same on all nodes, so that they do not work on theirs at the same time.
    lot: f64,
    /// The snapshot that is being saved.
    saving: Option<JoinHandle<()>>,
    /// The term that this node leads in, as far as those who wait know.
    leads_in: Option<Term>,
}

impl<M: StateMachine> Applier<M> {
    pub(super) fn new(
        raft: Arc<Raft>,
        replica: Arc<Mutex<Replica<M>>>,
        waiters: Waiters,
        applied: Arc<Applied>,
        check: watch::Sender<Option<StateCheck>>,
        options: RsmOptions,
    ) -> Self {
        Self {
            comparison: Comparison::new(raft.clone(), check),
            raft,
            replica,
            waiters,
            applied,
            options,
            log_bytes: 0,
            snapshot_bytes: Arc::default(),
            lot: fastrand::f64(),
            saving: None,
            leads_in: None,
        }
    }

    /// Applies until the node ends.
    pub(super) async fn run(mut self, applies: Applies) -> Result<(), RsmError> {
        let result = self.apply_all(applies).await;
        self.waiters.close(&stopping());
        if let Some(saving) = &self.saving {
            saving.abort();
        }
        if result.is_err() {
            self.raft.stop().await;
        }
        result?;
        self.raft.ended().await.map_err(RsmError::Raft)
    }

    async fn apply_all(&mut self, mut applies: Applies) -> Result<(), RsmError> {
        let mut status = self.raft.watch();
        let digests = self.raft.digests().clone();
        loop {
            // What is committed first: those who wait for it should hear that rather than that the leader has changed.
            tokio::select! {
                biased;
                committed = applies.next() => match committed {
                    None => return Ok(()),
                    Some(Committed::Nothing) => {}
                    Some(Committed::Entries { first, entries }) => self.apply(first, &entries)?,
                    Some(Committed::Snapshot(meta)) => self.restore(meta).await?,
                },
                Ok(()) = status.changed() => {
                    let now = *status.borrow_and_update();
                    let leads_in = (now.role == Role::Leader).then_some(now.term);
                    // A leadership may have come and gone since the last look, so whoever does not lead looks each time.
                    if std::mem::replace(&mut self.leads_in, leads_in) != leads_in || leads_in.is_none() {
                        let over = if leads_in.is_some() { now.term - 1 } else { now.term };
                        self.waiters.end_up_to(over, &deposed(now.leader));
                    }
                }
                () = digests.heard() => self.judge().await,
                saved = ended(&mut self.saving) => {
                    if saved.is_err_and(|error| error.is_panic()) {
                        return Err(RsmError::Panicked);
                    }
                    // Meanwhile the log may have grown by enough for another one, and perhaps nothing more is written to it.
                    self.snapshot_if_due();
                }
            }
        }
    }

    /// Compares, as the leader, what the nodes have come to.
    async fn judge(&mut self) {
        if self.leads_in.is_some() {
            let replica = self.replica.clone();
            self.comparison.judge(|index| locked(&replica).digest_at(index)).await;
        }
    }

    fn apply(&mut self, first: Index, entries: &[raft::Entry]) -> Result<(), RsmError> {
        let mut told = Vec::with_capacity(entries.len());
        let (applied, reports, agreed) = {
            let mut replica = locked(&self.replica);
            for (index, entry) in (first..).zip(entries) {
                let applied = replica.apply(index, entry).inspect_err(|error| {
                    if let RsmError::Diverged { index, .. } = error {
                        self.comparison.note(*index, Agreement::Differs);
                    }
                })?;
                told.extend(applied);
            }
            (replica.applied, replica.take_reports(), replica.agreed)
        };
        for (id, told) in told {
            self.waiters.tell(id, || told.outcome());
        }
        self.applied.advance(applied);
        if agreed > 0 {
            self.comparison.note(agreed, Agreement::Agreed);
        }
        for digest in reports {
            self.comparison.add_own(digest);
        }
        self.log_bytes += entries.iter().map(entry_bytes).sum::<usize>();
        self.snapshot_if_due();
        Ok(())
    }

    /// Begins a snapshot of the state if enough was applied since the last one and none is being saved.
    fn snapshot_if_due(&mut self) {
        let is_saving = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        let last = self.snapshot_bytes.load(Ordering::Relaxed);
        let due = due_after(self.options.snapshot_log_bytes, last, self.lot);
        let is_due = self.options.snapshot_log_bytes > 0 && !is_saving && self.log_bytes >= due;
        if !is_due || self.comparison.is_disputed() {
            return;
        }
        (self.log_bytes, self.lot) = (0, fastrand::f64());
        // The state is frozen here, and read while commands go on.
        let (applied, state, digest) = {
            let replica = locked(&self.replica);
            (replica.applied, replica.snapshot(), replica.digest)
        };
        let state = Counted::new(state, &self.snapshot_bytes);
        let is_asked = self.leads_in.is_some() && !self.raft.is_alone();
        let agreed = is_asked.then(|| self.comparison.claim(StateDigest { index: applied, digest }));
        let (raft, bytes, began) = (self.raft.clone(), self.snapshot_bytes.clone(), Instant::now());
        self.saving = Some(tokio::spawn(async move {
            if let Some(agreed) = agreed
                && !agreed.await
            {
                // What was found out is logged where it is.
                return;
            }
            match raft.save_snapshot(applied, state).await {
                Ok(()) => {
                    let (bytes, took) = (bytes.load(Ordering::Relaxed), began.elapsed());
                    log_snapshot(&TAKEN, || tracing::info!(index = applied, bytes, ?took, "snapshot taken"));
                }
                Err(error) => log_snapshot(&NOT_TAKEN, || {
                    tracing::warn!(%error, "a snapshot could not be saved, so the log grows on");
                }),
            }
        }));
    }

    async fn restore(&mut self, meta: SnapshotMeta) -> Result<(), RsmError> {
        let index = meta.last_index;
        let snapshot = self.raft.read_snapshot(meta);
        let superseded = snapshot.superseded();
        let snapshot = Counted::new(snapshot, &self.snapshot_bytes);
        let replica = self.replica.clone();
        let restore = move || locked(&replica).restore(index, io::BufReader::new(snapshot));
        match self.raft.with_disk(restore).await.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.log_bytes = 0;
                self.comparison.forget();
                self.applied.advance(index);
                let bytes = self.snapshot_bytes.load(Ordering::Relaxed);
                log_snapshot(&INSTALLED, || tracing::info!(index, bytes, "snapshot installed"));
                Ok(())
            }
            // The newer one comes next.
            Err(_) if superseded.get() => Ok(()),
            Err(error) => Err(RsmError::Snapshot { index, error }),
        }
    }
}

/// Waits for the end of a task; for ever where there is none.
async fn ended(task: &mut Option<JoinHandle<()>>) -> Result<(), JoinError> {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}

impl<M> Drop for Applier<M> {
    /// Also when the state machine panics.
    fn drop(&mut self) {
        self.applied.end();
    }
}

/// After how many bytes of entries the next snapshot is due: as many as the last one has, so that a large state costs no more to
/// save than what was written to its log, but from `least` to four times as many; less up to a quarter, by lot from 0 to 1.
fn due_after(least: usize, last: usize, lot: f64) -> usize {
    let bytes = last.clamp(least, least.saturating_mul(SNAPSHOT_LOG_FACTOR_MAX));
    bytes - (bytes as f64 * EARLIEST * lot) as usize
}

/// At most one line about each of these in this time: small snapshots can come many times a second.
const SNAPSHOT_LOG_INTERVAL: Duration = Duration::from_secs(1);
static TAKEN: LogThrottle = LogThrottle::new(SNAPSHOT_LOG_INTERVAL);
static NOT_TAKEN: LogThrottle = LogThrottle::new(SNAPSHOT_LOG_INTERVAL);
static INSTALLED: LogThrottle = LogThrottle::new(SNAPSHOT_LOG_INTERVAL);

fn log_snapshot(throttle: &LogThrottle, log: impl FnOnce()) {
    if throttle.permit().is_some() {
        log();
    }
}

/// A snapshot that is being read; once it was read to its end, `bytes` says how many it had.
struct Counted<R> {
    snapshot: R,
    read: usize,
    bytes: Arc<AtomicUsize>,
}

impl<R> Counted<R> {
    fn new(snapshot: R, bytes: &Arc<AtomicUsize>) -> Self {
        Self { snapshot, read: 0, bytes: bytes.clone() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.snapshot.read(buffer)?;
        self.read += count;
        if count == 0 && !buffer.is_empty() {
            self.bytes.store(self.read, Ordering::Relaxed);
        }
        Ok(count)
    }
}

fn entry_bytes(entry: &raft::Entry) -> usize {
    match &entry.payload {
        Payload::Command(command) => command.json().len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_states_are_saved_less_often() {
        for (last, latest) in [(0, 1_000), (1_000, 1_000), (2_000, 2_000), (1_000_000, 4_000)] {
            assert_eq!(due_after(1_000, last, 0.0), latest);
            assert_eq!(due_after(1_000, last, 1.0), latest / 4 * 3);
        }
    }

    #[test]
    fn a_snapshot_counts_once_it_is_read() {
        let bytes = Arc::new(AtomicUsize::new(7));
        let mut snapshot = Counted::new(&[0; 100_000][..], &bytes);
        snapshot.read_exact(&mut [0; 50_000]).unwrap();
        assert_eq!(bytes.load(Ordering::Relaxed), 7);
        snapshot.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(bytes.load(Ordering::Relaxed), 100_000);
    }
}

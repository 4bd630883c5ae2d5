//! The task that applies: entries in order, snapshots when the log has grown, and the news for those who wait.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use traitwire::log::LogThrottle;

use super::applied::Applied;
use super::entry::{self, Action, Entry};
use super::sessions::{Sessions, Verdict};
use super::waiters::{Outcome, Waiters};
use super::{RsmOptions, StateMachine, deposed, locked, stopping};
use crate::bugs::{ServiceBug, has};
use crate::kv_raft::raft::core::{Committed, Role};
use crate::kv_raft::raft::{Applies, Ended, Raft};
use crate::services::raft::{self, Index, Payload, SnapshotMeta, Term};
use crate::services::rsm::ReplyErr;

/// After how many entries the nodes compare what they have come to.
const COMPARE_EVERY: u64 = 4_096;

/// Up to how many times the log's bytes of the options may wait for a snapshot that is as large.
const SNAPSHOT_LOG_FACTOR_MAX: usize = 4;

/// By which part a snapshot is early at most.
const EARLIEST: f64 = 0.25;

/// How many digests a node keeps to compare.
const DIGESTS_KEPT: usize = 16;

/// Why a node cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RsmError {
    /// An entry of the log is none of this program's.
    #[error("the entry at index {index} cannot be understood: {error}")]
    Entry {
        /// Where.
        index: Index,
        /// Why.
        error: serde_json::Error,
    },
    /// The state machine of this node has given other replies than the leader's.
    #[error("up to index {index} this node's replies differ from the leader's: its state cannot be trusted")]
    Diverged {
        /// Where.
        index: Index,
    },
    /// A snapshot cannot be read.
    #[error("the snapshot cannot be restored: {0}")]
    Snapshot(io::Error),
    /// The state machine has panicked, or the code around it.
    #[error("the state machine has panicked")]
    Panicked,
    /// The node underneath has ended.
    #[error(transparent)]
    Raft(Ended),
}

/// The state of one node.
pub(super) struct Replica<M> {
    pub(super) machine: M,
    sessions: Sessions,
    applied: Index,
    /// What the replies so far add up to (CRC-32 of all of them).
    digest: u32,
    digests: VecDeque<(Index, u32)>,
}

/// What a snapshot holds beyond the state machine's own part, which follows it.
#[derive(Serialize, Deserialize)]
struct Head {
    digest: u32,
    sessions: Sessions,
}

impl<M: StateMachine> Replica<M> {
    pub(super) fn new(machine: M) -> Self {
        Self { machine, sessions: Sessions::default(), applied: 0, digest: 0, digests: VecDeque::new() }
    }

    /// Applies an entry; gives its id, and what whoever submitted it is told.
    fn apply(&mut self, index: Index, entry: &raft::Entry) -> Result<Option<(u64, Told)>, RsmError> {
        self.applied = index;
        let Payload::Command(command) = &entry.payload else { return Ok(None) };
        let understood: Result<Entry<'_>, _> = serde_json::from_str(command.json());
        let Entry { id, action } = understood.map_err(|error| RsmError::Entry { index, error })?;
        let told = match action {
            Action::Run { ticket: None, command } => Told::Reply(self.run(command)),
            Action::Run { ticket: Some(ticket), command } => match self.sessions.check(&ticket, index) {
                Verdict::Run => {
                    let reply = self.run(command);
                    self.sessions.keep(&ticket, &reply);
                    Told::Reply(reply)
                }
                Verdict::Done(_) if has(ServiceBug::TicketRunsTwice) => Told::Reply(self.run(command)),
                Verdict::Done(reply) => Told::Reply(reply),
                Verdict::NoSession => Told::Error(ReplyErr::NoSession),
                Verdict::TooManyUnanswered => Told::Error(ReplyErr::TooManyUnanswered),
            },
            Action::OpenSession => {
                self.sessions.open(index);
                Told::Reply(index.to_string())
            }
            Action::Compare { index, digest } => {
                let own = self.digests.iter().find(|(at, _)| *at == index);
                if own.is_some_and(|(_, own)| *own != digest) {
                    return Err(RsmError::Diverged { index });
                }
                Told::Reply("null".to_owned())
            }
        };
        if index.is_multiple_of(COMPARE_EVERY) {
            self.digests.push_back((index, self.digest));
            if self.digests.len() > DIGESTS_KEPT {
                self.digests.pop_front();
            }
        }
        Ok(Some((id, told)))
    }

    fn run(&mut self, command: &RawValue) -> String {
        let reply = self.machine.apply(command.get());
        let mut digest = crc32fast::Hasher::new_with_initial(self.digest);
        digest.update(reply.as_bytes());
        self.digest = digest.finalize();
        reply
    }

    /// The state as of now, to be read later.
    fn snapshot(&self) -> impl Read + Send + 'static {
        let forgets = has(ServiceBug::SnapshotWithoutSessions);
        let sessions = if forgets { Sessions::default() } else { self.sessions.clone() };
        let head = Head { digest: self.digest, sessions };
        let head = serde_json::to_vec(&head).expect("it has string keys and a Vec takes all");
        let length = (head.len() as u64).to_le_bytes();
        io::Cursor::new(length).chain(io::Cursor::new(head)).chain(self.machine.snapshot())
    }

    fn restore(&mut self, index: Index, mut snapshot: impl Read) -> io::Result<()> {
        let mut length = [0; 8];
        snapshot.read_exact(&mut length)?;
        let mut head = Vec::new();
        snapshot.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut head)?;
        let head: Head = serde_json::from_slice(&head)?;
        self.machine.restore(&mut snapshot)?;
        (self.digest, self.sessions, self.applied) = (head.digest, head.sessions, index);
        self.digests.clear();
        Ok(())
    }
}

/// What whoever has submitted a command is told.
enum Told {
    /// The reply, which is JSON.
    Reply(String),
    Error(ReplyErr),
}

impl Told {
    fn outcome(self) -> Outcome {
        match self {
            Self::Reply(reply) => RawValue::from_string(reply)
                .map_err(|error| ReplyErr::Invalid(format!("the state machine's reply is no JSON: {error}"))),
            Self::Error(error) => Err(error),
        }
    }
}

/// The task.
pub(super) struct Applier<M> {
    raft: Arc<Raft>,
    replica: Arc<Mutex<Replica<M>>>,
    waiters: Waiters,
    applied: Arc<Applied>,
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
        options: RsmOptions,
    ) -> Self {
        Self {
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
            }
        }
    }

    fn apply(&mut self, first: Index, entries: &[raft::Entry]) -> Result<(), RsmError> {
        let mut told = Vec::with_capacity(entries.len());
        let mut compare = None;
        let applied = {
            let mut replica = locked(&self.replica);
            for (index, entry) in (first..).zip(entries) {
                told.extend(replica.apply(index, entry)?);
                if index.is_multiple_of(COMPARE_EVERY) {
                    compare = replica.digests.back().copied();
                }
            }
            replica.applied
        };
        for (id, told) in told {
            self.waiters.tell(id, || told.outcome());
        }
        self.applied.advance(applied);
        if let Some((index, digest)) = compare
            && self.leads_in.is_some()
        {
            self.propose_comparison(index, digest);
        }
        self.log_bytes += entries.iter().map(entry_bytes).sum::<usize>();
        self.snapshot_if_due(applied);
        Ok(())
    }

    /// Lets the other nodes compare. Nobody waits for it, and if it is lost there will be another.
    fn propose_comparison(&self, index: Index, digest: u32) {
        let command = entry::encode(fastrand::u64(..), &Action::Compare { index, digest });
        let raft = self.raft.clone();
        tokio::spawn(async move { raft.submit(command).await });
    }

    fn snapshot_if_due(&mut self, applied: Index) {
        let is_saving = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        let last = self.snapshot_bytes.load(Ordering::Relaxed);
        let due = due_after(self.options.snapshot_log_bytes, last, self.lot);
        if self.options.snapshot_log_bytes == 0 || is_saving || self.log_bytes < due {
            return;
        }
        (self.log_bytes, self.lot) = (0, fastrand::f64());
        // The state is frozen here, and read while commands go on.
        let state = Counted::new(locked(&self.replica).snapshot(), &self.snapshot_bytes);
        let (raft, bytes, began) = (self.raft.clone(), self.snapshot_bytes.clone(), Instant::now());
        self.saving = Some(tokio::spawn(async move {
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
        let snapshot = Counted::new(self.raft.read_snapshot(meta), &self.snapshot_bytes);
        let replica = self.replica.clone();
        let restore = move || locked(&replica).restore(index, io::BufReader::new(snapshot));
        match self.raft.with_disk(restore).await.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.log_bytes = 0;
                self.applied.advance(index);
                let bytes = self.snapshot_bytes.load(Ordering::Relaxed);
                log_snapshot(&INSTALLED, || tracing::info!(index, bytes, "snapshot installed"));
                Ok(())
            }
            // There is a newer one, which comes next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(RsmError::Snapshot(error)),
        }
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

//! openraft's storage in memory: a vector of entries, which are shared and not copied, and a state machine with nothing in it.
//! The memory store that is published with openraft keeps its entries as JSON, so it would be no match.

use std::fmt::Debug;
use std::hint::black_box;
use std::io::Cursor;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{
    LogFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine, Snapshot,
};
use openraft::{
    Entry, EntryPayload, LogId, OptionalSend, SnapshotMeta, StorageError, StoredMembership, Vote,
};

openraft::declare_raft_types!(
    /// What the nodes are made of.
    pub Types:
        D = Command,
        R = (),
        Node = (),
);

/// A command, shared by all who hold it.
#[derive(Clone, Debug)]
pub struct Command(pub Arc<str>);

type StoreResult<T> = Result<T, StorageError<u64>>;

/// The log of a node; clones are the same.
#[derive(Clone, Default)]
pub struct LogStore(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    vote: Option<Vote<u64>>,
    /// The entry at index `i` is `entries[i]`: nothing is purged, since nothing is in a snapshot.
    entries: Vec<Entry<Types>>,
}

impl LogStore {
    fn locked(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> StoreResult<Vec<Entry<Types>>> {
        let log = self.locked();
        let begin = match range.start_bound() {
            Bound::Included(index) => place(*index),
            Bound::Excluded(index) => place(*index + 1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => place(*index + 1),
            Bound::Excluded(index) => place(*index),
            Bound::Unbounded => log.entries.len(),
        };
        let end = end.min(log.entries.len());
        Ok(log.entries[begin.min(end)..end].to_vec())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> StoreResult<LogState<Types>> {
        let last_log_id = self.locked().entries.last().map(|entry| entry.log_id);
        Ok(LogState { last_purged_log_id: None, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> StoreResult<()> {
        self.locked().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> StoreResult<Option<Vote<u64>>> {
        Ok(self.locked().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> StoreResult<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
    {
        self.locked().entries.extend(entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> StoreResult<()> {
        self.locked().entries.truncate(place(log_id.index));
        Ok(())
    }

    async fn purge(&mut self, _: LogId<u64>) -> StoreResult<()> {
        unreachable!("only what is in a snapshot is purged")
    }
}

/// A state machine that only knows how far it has come.
#[derive(Default)]
pub struct StateMachine {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, ()>,
}

/// There are no snapshots, so nobody makes one.
pub struct NoSnapshots;

impl RaftSnapshotBuilder<Types> for NoSnapshots {
    async fn build_snapshot(&mut self) -> StoreResult<Snapshot<Types>> {
        unreachable!("the policy is to make no snapshots")
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = NoSnapshots;

    async fn applied_state(&mut self) -> StoreResult<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> StoreResult<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
    {
        let mut answers = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Command(text)) => drop(black_box(text)),
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> NoSnapshots {
        NoSnapshots
    }

    async fn begin_receiving_snapshot(&mut self) -> StoreResult<Box<Cursor<Vec<u8>>>> {
        unreachable!("nobody has a snapshot to send")
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMeta<u64, ()>,
        _: Box<Cursor<Vec<u8>>>,
    ) -> StoreResult<()> {
        unreachable!("nobody has a snapshot to send")
    }

    async fn get_current_snapshot(&mut self) -> StoreResult<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

//! A node: its disk and its clock, which outlive it, and what is lost when it stops.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use traitwire_kv::kv_raft::raft::core::{Core, DiskSpace, Persist, Restored, Sent, Time, Token};
use traitwire_kv::kv_raft::raft::storage::wal::WalOptions;
use traitwire_kv::kv_raft::raft::storage::{Identity, Opened, Snapshots, Storage, StorageError, Wal};
use traitwire_kv::services::raft::{
    ClusterId, Incarnation, Index, Member, Membership, NodeId, SnapshotMeta, Term,
};

use crate::client::OperationId;
use crate::clock::Clock;
use crate::cluster::NodeEvent;
use crate::disk::SimDisk;
use crate::machine::{CommandId, Machine};
use crate::plan::HostSettings;

/// Names a call of one node to another; no two have the same.
pub(crate) type CallId = u64;

/// A node, up or down.
pub(crate) struct Node {
    /// The id that it has in its cluster. Where the membership never changes, that is its place.
    pub(crate) id: NodeId,
    /// What its folder says it is, where the membership changes.
    pub(crate) identity: Option<NodeIdentity>,
    /// The newest membership that was applied, for the bug that believes it.
    pub(crate) applied_membership: Option<Membership>,
    /// Whether its folder was ever wiped.
    pub(crate) wiped: bool,
    /// Calls before this one were made by a node whose folder is gone.
    pub(crate) first_call: CallId,
    pub(crate) clock: Clock,
    pub(crate) disk: SimDisk,
    pub(crate) life: Option<Box<Life>>,
    /// How often it was started.
    pub(crate) lives: u64,
    /// What happens while it pauses, and when that ends.
    pub(crate) paused: Option<Vec<NodeEvent>>,
    /// Syncs end no earlier.
    pub(crate) stalled_until: u64,
    /// Where the node is to crash next.
    pub(crate) crash_at: Option<CrashPoint>,
    /// Whether its disk was made to fail, so that errors are no surprise.
    pub(crate) disk_may_fail: bool,
    /// It stays down until this time at least.
    pub(crate) down_until: u64,
}

/// What the data folder of a node says it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeIdentity {
    pub(crate) incarnation: Incarnation,
    /// The cluster that it was admitted to.
    pub(crate) cluster_id: Option<ClusterId>,
}

/// A place in the work of a node at which it matters what is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// Changes were given to the disk, and nothing of them is written.
    Given,
    /// A sync is under way.
    Syncing,
    /// A sync has ended, and nobody knows.
    Synced,
    /// A sync has ended, and what waited for it was sent.
    Confirmed,
    /// A snapshot is being saved.
    Saving,
    /// A snapshot was saved, and nobody knows.
    Saved,
}

/// Everything of a node that is lost when it stops.
pub(crate) struct Life {
    pub(crate) core: Core,
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    /// What the disk is to get after what it is getting.
    pub(crate) queue: Vec<Persist>,
    /// What the disk is getting.
    pub(crate) syncing: Option<Vec<Persist>>,
    pub(crate) space: DiskSpace,
    pub(crate) machine: Machine,
    pub(crate) applied: Index,
    pub(crate) applying: bool,
    /// The snapshot that is being saved.
    pub(crate) saving: Option<(SnapshotMeta, Vec<u8>)>,
    pub(crate) saved: Index,
    /// When the next look at the deadline is.
    pub(crate) timer_at: u64,
    /// The calls that wait for their answers, oldest first.
    pub(crate) calls: VecDeque<Call>,
    /// When there is an event for calls that have waited too long; never is `u64::MAX`.
    pub(crate) calls_watched: u64,
    /// Who asked what is to be answered.
    pub(crate) askers: BTreeMap<Token, Asker>,
    /// What is known of the other nodes, where the membership changes.
    pub(crate) contacts: BTreeMap<NodeId, Member>,
    /// The index of the membership from which `contacts` was last brought up to date.
    pub(crate) contacts_from: Option<Index>,
    /// The cluster that it was admitted to in this life.
    pub(crate) admitted_to: Option<ClusterId>,
    /// Clients that wait for entries, by index and term.
    pub(crate) waiters: BTreeMap<(Index, Term), Vec<(CommandId, OperationId)>>,
    /// Clients whose reads wait for the core.
    pub(crate) reads: BTreeMap<Token, OperationId>,
    /// Clients whose reads wait for the state.
    pub(crate) ready_reads: Vec<(Index, OperationId)>,
    /// The life that this is, so that events of an earlier one are told apart.
    pub(crate) number: u64,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) place: NodeId,
    pub(crate) call: CallId,
    /// Which folder it had when it asked.
    pub(crate) body: usize,
}

/// A call to another node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) to: NodeId,
    pub(crate) sent: Sent,
    /// When it was sent, if it carries nothing.
    pub(crate) small_since: Option<u64>,
    /// When the node stops waiting.
    pub(crate) until: u64,
    /// Whether it still waits.
    pub(crate) open: bool,
}

impl Node {
    pub(crate) fn new(id: NodeId, clock: Clock, disk: SimDisk) -> Self {
        Self {
            id,
            identity: None,
            applied_membership: None,
            wiped: false,
            first_call: 0,
            clock,
            disk,
            life: None,
            lives: 0,
            paused: None,
            stalled_until: 0,
            crash_at: None,
            disk_may_fail: false,
            down_until: 0,
        }
    }

    /// Reads the disk.
    pub(crate) fn open(&self, settings: &HostSettings) -> Result<Opened, StorageError> {
        let identity = Identity { cluster: "simulated".to_owned(), node: self.id };
        let options = WalOptions { segment_bytes: settings.segment_bytes };
        Wal::open(Arc::new(self.disk.clone()), identity, options)
    }

    /// Whether it is to crash here; then it is told once.
    pub(crate) fn crashes_at(&mut self, point: CrashPoint) -> bool {
        let here = self.crash_at == Some(point);
        if here {
            self.crash_at = None;
        }
        here
    }

    /// The core, of a node that is up.
    pub(crate) fn core(&self) -> Option<&Core> {
        self.life.as_ref().map(|life| &life.core)
    }
}

impl Life {
    pub(crate) fn begin(
        number: u64,
        storage: Box<dyn Storage>,
        restored: Restored,
        core: impl FnOnce(Restored) -> Core,
    ) -> Self {
        Self {
            snapshots: storage.snapshots(),
            storage,
            saved: restored.snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index),
            core: core(restored),
            queue: Vec::new(),
            syncing: None,
            space: DiskSpace::Free,
            machine: Machine::default(),
            applied: 0,
            applying: false,
            saving: None,
            timer_at: u64::MAX,
            calls: VecDeque::new(),
            calls_watched: u64::MAX,
            askers: BTreeMap::new(),
            contacts: BTreeMap::new(),
            contacts_from: None,
            admitted_to: None,
            waiters: BTreeMap::new(),
            reads: BTreeMap::new(),
            ready_reads: Vec::new(),
            number,
        }
    }

    /// When the core wants to hear that time has passed.
    pub(crate) fn deadline(&self) -> Time {
        self.core.next_deadline()
    }

    /// Ends a call, if it is waiting for its answer.
    pub(crate) fn end_call(&mut self, id: CallId) -> Option<Call> {
        let place = self.calls.binary_search_by_key(&id, |call| call.id).ok()?;
        let call = self.calls.get_mut(place)?;
        let ended = call.open.then_some(*call);
        call.open = false;
        while self.calls.front().is_some_and(|call| !call.open) {
            self.calls.pop_front();
        }
        ended
    }

    /// Ends the oldest call that has waited too long.
    pub(crate) fn expire_call(&mut self, now: u64) -> Option<Call> {
        let call = *self.calls.iter().find(|call| call.open && call.until <= now)?;
        self.end_call(call.id)
    }
}

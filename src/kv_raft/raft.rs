//! Consensus: a log that a cluster of nodes agrees on, entry by entry, as long as a majority of them can talk.
//!
//! # What it is for
//!
//! Nodes that apply the same commands in the same order are in the same state. This module brings commands in one order
//! and never takes one back: once an entry is *committed*, every node will have it at that index, through crashes of nodes,
//! a network that loses, repeats, delays and reorders, and disks that forget whatever was not synced.
//!
//! The algorithm is Raft (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", extended version;
//! Ongaro's dissertation "Consensus: Bridging Theory and Practice" for pre-votes, transfer and reads).
//!
//! # How it goes
//!
//! Time is divided into *terms*. In a term at most one node leads, because a leader needs the votes of a majority and a
//! node gives one vote a term. Clients bring commands to the leader; it appends them to its log and sends them on. Each
//! message names the entry before the first one it brings, and a follower takes it only where its own log has that entry:
//! so two logs that have an entry in common have everything before it in common. What a majority has on its disks is
//! committed, provided the entry is of the leader's own term; what comes before it is committed with it.
//!
//! A follower that hears of no leader for an election timeout asks around whether it would be elected (a *pre-vote*), and
//! if so enters the next term and asks for votes. Voters refuse whoever has a log that ends before their own: so a new
//! leader has everything that is committed. They also refuse while their leader is alive: so a node that has only lost
//! its own links deposes nobody. A leader that hears of no majority for a while steps down.
//!
//! # Where it lives
//!
//! - `core/` is the algorithm, as a value: [`Core::step`](core::Core::step) takes what has happened and gives what must be
//!   done. It has no clock, no task and no I/O. That is why it can be run a million times against every fault.
//! - `storage/` keeps the log, the term and the vote: [`storage::Storage`].
//! - `transport` carries messages to the other nodes, `service` receives theirs; the messages themselves are the contract
//!   in [`crate::services::raft`].
//! - `driver/` gives effects: one task owns the core, one thread the disk, and each other node has its own calls.
//! - This file is the handle that the rest of the program holds.
//!
//! # What keeps it right
//!
//! - *Nothing is said before it is safe.* A vote, an acknowledgement, a leader counting itself: each waits inside the core
//!   for the disk to confirm the position it depends on. A host cannot get that order wrong.
//! - *The disk gets one ordered stream.* Term, vote, truncation and entries are one log, so a crash leaves a prefix of what
//!   happened and never a mixture.
//! - *Answers explain themselves.* An answer names its term and round, so one that comes late, twice or out of order
//!   is told from one that matters.
//! - *A read needs no entry, but a question.* A leader may have been deposed without knowing; so it asks the others
//!   after the read has come, and answers when a majority has answered that.
//! - *A failed sync ends the node.* What the disk holds is unknown then; only starting again, from what it really holds, is
//!   sound.
//!
//! # Who belongs to the cluster
//!
//! The newest membership in the log counts, committed or not, and nothing else does: not the command line, and no file beside
//! the log. [`Raft::found`] begins a cluster and [`Raft::change`] changes it, one change at a time.
//!
//! - A new node gets the log as a *learner*, which counts for nothing. Once it has caught up, it becomes a voter.
//! - Voters change through a *joint configuration*, in which a majority of the old voters and one of the new ones decide. The
//!   leader leaves it once it is committed. If that leader dies, the next one does.
//! - A voter is an id with an *incarnation*, which a data folder gets when it is new. A node whose folder was wiped is another
//!   node: nobody takes its word for that of the one that it was. It comes back as a learner.
//! - A node campaigns only as a voter that a committed membership names, so one that reads old history elects nobody.
//! - A leader that is removed leads until that is committed, and hands over.
//!
//! # What it leaves out
//!
//! There are no leases: a clock that runs wrong costs elections here, never correctness.

mod contacts;
pub mod core;
pub(super) mod digests;
mod driver;
mod error;
mod membership;
pub(super) mod own_urls;
mod problems;
mod profile;
mod sender_check;
mod service;
mod snapshot_reader;
pub mod storage;
mod transport;

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinError;
use tokio::time::Instant;

use self::core::{Committed, Core, Options, Proposed, ReadOutcome, Role, Time};
use self::digests::Digests;
use self::driver::{APPLY_BATCHES_MAX, DiskWatch, Driver, Inbound, Inbox, Parts, Told};
use self::storage::{Opened, SnapshotAccess};
use crate::services::raft::{Command, Index, NodeId, Payload, RaftServer, Term};

pub(super) use contacts::reason;
pub use contacts::{Contacted, Contacts};
pub use driver::Status;
pub use error::{Ended, RaftError};
pub use membership::{ChangeError, KnownMembership};
pub use problems::{ProblemKind, Problems};
pub use profile::Profile;
pub use sender_check::Verdict;
pub use service::RaftService;
use service::ServiceParts;
pub use snapshot_reader::{SnapshotReader, Superseded};
pub use transport::{PROTOCOL, RpcTransport, Transport};

/// The longest command, in bytes of JSON: with what is around it, it fits into one message.
pub const COMMAND_BYTES_MAX: usize = 3 << 20;

/// How long handing over the leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// One node of a cluster. It lives in its own task until [`Raft::stop`], or until this and the [`Applies`] are dropped.
pub struct Raft {
    inbox: Inbox,
    status: watch::Receiver<Status>,
    ended: watch::Receiver<Option<Result<(), Ended>>>,
    /// Why the node stops, if it was not asked to.
    end_reason: Arc<OnceLock<Ended>>,
    snapshots: SnapshotAccess,
    snapshot_check: Arc<OwnedCheck>,
    digests: Arc<Digests>,
    id: NodeId,
    membership: watch::Receiver<Arc<KnownMembership>>,
    service: Arc<RaftService>,
    contacts: Arc<Contacts>,
    profile: Arc<Profile>,
    problems: Arc<Problems>,
    disk_watch: DiskWatch,
}

/// Says whether a received state can be restored; until it is set, every state is taken for one.
type OwnedCheck = OnceLock<Box<dyn Fn(&mut dyn Read) -> io::Result<()> + Send + Sync>>;

/// The committed entries of a node, in order, each once, with snapshots where entries are gone.
pub struct Applies(mpsc::Receiver<Committed>);

impl Applies {
    /// The next batch; nothing when the node has stopped.
    pub async fn next(&mut self) -> Option<Committed> {
        self.0.recv().await
    }
}

impl Raft {
    /// Starts a node with what was found on its disk. Must be called within a tokio runtime. The name of a cluster is enough of a
    /// profile where `options` say who belongs to it.
    ///
    /// # Errors
    /// When the system gives no thread for the disk.
    ///
    /// # Panics
    /// When `opened` contradicts itself; see [`core::Restored`].
    pub fn start(
        profile: impl Into<Profile>,
        options: Options,
        opened: Opened,
        transport: Arc<dyn Transport>,
    ) -> io::Result<(Arc<Self>, Applies)> {
        let Opened { storage, restored } = opened;
        let profile: Arc<Profile> = Arc::new(profile.into());
        let snapshots = SnapshotAccess::of(&*storage);
        let origin = Instant::now();
        let core = Core::new(options, restored, Time(0));
        let id = core.id();
        let contacts = Arc::new(Contacts::default());
        let (inbox, driver_end) = Inbox::new();
        let (applies, applied) = mpsc::channel(APPLY_BATCHES_MAX);
        let digests = Arc::new(Digests::default());
        let problems = Arc::new(Problems::default());
        let (driver, status, membership) = Driver::new(Parts {
            core,
            digests: digests.clone(),
            problems: problems.clone(),
            storage,
            snapshots: snapshots.clone(),
            transport,
            inbox: driver_end,
            applies,
            origin,
            contacts: contacts.clone(),
        })?;
        let disk_watch = driver.disk_watch();
        let (ended_in, ended) = watch::channel(None);
        let end_reason = Arc::new(OnceLock::new());
        let reason = end_reason.clone();
        tokio::spawn(async move {
            let result = driver.run().await.map_err(Ended::Disk);
            let result = result.and_then(|()| reason.get().cloned().map_or(Ok(()), Err));
            if let Err(error) = &result {
                tracing::error!("the node has ended: {error}");
            }
            ended_in.send_replace(Some(result));
        });
        let snapshot_check = Arc::new(OwnedCheck::new());
        let service = RaftService::new(ServiceParts {
            profile: profile.clone(),
            id,
            membership: membership.clone(),
            inbox: inbox.clone(),
            status: status.clone(),
            snapshots: snapshots.clone(),
            snapshot_check: snapshot_check.clone(),
            digests: digests.clone(),
        });
        let raft = Self {
            inbox,
            status,
            ended,
            end_reason,
            snapshots,
            snapshot_check,
            digests,
            id,
            membership,
            service,
            contacts,
            profile,
            problems,
            disk_watch,
        };
        Ok((Arc::new(raft), Applies(applied)))
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name of its cluster.
    pub fn cluster(&self) -> &str {
        &self.profile.cluster
    }

    /// What this node knows of itself before its log says anything.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What keeps this node from taking part, and what it has noticed of others.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// What this node's state and those of the others have come to.
    pub(super) fn digests(&self) -> &Arc<Digests> {
        &self.digests
    }

    /// The `raft` methods of this node, to be served to the others.
    pub fn server(&self) -> RaftServer<RaftService> {
        RaftServer::from_arc(self.service.clone())
    }

    /// The same as a value of their trait, for who is in the same process.
    pub fn service(&self) -> Arc<RaftService> {
        self.service.clone()
    }

    /// Appends a command to the log if this node leads: the index and the term that it has there. It is committed when
    /// the entry at that index comes out of [`Applies`] with that term; another term there means that it never will be.
    pub async fn submit(&self, command: Command) -> Option<(Index, Term)> {
        self.propose(vec![command]).await.ok()
    }

    /// The same for several commands, which get consecutive indices, with the reason when they are not taken.
    ///
    /// # Errors
    /// See [`RaftError`].
    pub async fn propose(&self, commands: Vec<Command>) -> Result<(Index, Term), RaftError> {
        let (answer, answered) = oneshot::channel();
        let told = Box::new(|proposed| {
            // Whoever has gone away needs no answer.
            let _gone = answer.send(proposed);
        });
        self.propose_then(commands, told).await?;
        match answered.await.map_err(|_| RaftError::Stopped)? {
            Proposed::Accepted { first, term } => Ok((first, term)),
            Proposed::Refused(refusal) => Err(RaftError::Refused(refusal)),
        }
    }

    /// The same without a wait for the answer, which `told` gets while the node looks at nothing else: it must be quick. It is
    /// dropped instead when the node stops before.
    ///
    /// # Errors
    /// See [`RaftError`].
    pub(super) async fn propose_then(&self, commands: Vec<Command>, told: Told) -> Result<(), RaftError> {
        if let Some(bytes) = commands.iter().map(|it| it.json().len()).find(|it| *it > COMMAND_BYTES_MAX) {
            return Err(RaftError::TooLarge { bytes });
        }
        if self.inbox.send(Inbound::Propose { commands, told }).await {
            Ok(())
        } else {
            Err(RaftError::Stopped)
        }
    }

    /// Up to where the log must be applied for a read to see everything that is committed by now. Waits for a majority to
    /// confirm that this node leads; whoever calls bounds the wait.
    ///
    /// # Errors
    /// When this node does not lead, or no longer does.
    pub async fn read_index(&self) -> Result<Index, RaftError> {
        match self.inbox.request(|answer| Inbound::Read { answer }).await.ok_or(RaftError::Stopped)? {
            ReadOutcome::Ready(index) => Ok(index),
            ReadOutcome::Refused(refusal) => Err(RaftError::Refused(refusal)),
        }
    }

    /// The command that is committed at `index`; nothing if none is (known to be), or if a snapshot has taken its place.
    pub async fn get_committed(&self, index: Index) -> Option<Command> {
        let found = self.inspect(move |core| {
            let entry = core.entry(index).filter(|_| index <= core.commit_index())?;
            match &entry.payload {
                Payload::Command(command) => Some(command.clone()),
                Payload::Blank | Payload::Membership(_) => None,
            }
        });
        found.await.flatten()
    }

    /// The term, and whether this node leads as far as it knows.
    pub fn get_state(&self) -> (Term, bool) {
        let status = self.status();
        (status.term, status.role == Role::Leader)
    }

    /// What the node is and how far it has come.
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// The same, to wait for changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Whether the other nodes answer this one.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// How long the disk has been at work on one batch; `None` while it is idle.
    pub fn disk_busy_for(&self) -> Option<Duration> {
        self.disk_watch.busy_for()
    }

    /// Looks at the core, between two steps; nothing when the node has stopped.
    pub async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Option<T> {
        let look = |answer: oneshot::Sender<T>| {
            Inbound::Inspect(Box::new(move |core: &Core| {
                let _gone = answer.send(look(core));
            }))
        };
        self.inbox.request(look).await
    }

    /// Runs what may wait for this node's disk where that holds up nobody.
    pub(super) async fn with_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.snapshots.run(|_| work()).await
    }

    /// Hands the leadership over, to a certain node or to whoever has most of the log, and waits until this node does not
    /// lead. False when it still does after two seconds.
    pub async fn transfer(&self, to: Option<NodeId>) -> bool {
        let transfer = self.inbox.request(|handed_over| Inbound::Transfer { to, handed_over });
        tokio::time::timeout(TRANSFER_TIMEOUT, transfer).await.is_ok()
    }

    /// Stops the node, once it has done what was asked before.
    pub async fn stop(&self) {
        let _stopped_before = self.inbox.send(Inbound::Stop).await;
        let _result = self.ended().await;
    }

    /// Waits until the node has ended.
    ///
    /// # Errors
    /// When it was not told to; see [`Ended`].
    pub async fn ended(&self) -> Result<(), Ended> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            // The task was dropped before it could say: by its panic, or with its runtime, where nobody asks.
            Err(_) => Err(Ended::Panicked),
        }
    }
}

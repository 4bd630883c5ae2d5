//! A replicated state machine: commands go in at the leader, and every node's state goes through the same ones in the
//! same order.
//!
//! Implement [`StateMachine`] for a state of your own, and run it with an [`Rsm`]: `submit` a command and get its reply once
//! it cannot be lost any more; `read` the state and see everything that was done before.
//!
//! - Each entry carries an id of its own, so nobody is told the reply of another one's command, even if the same text
//!   was submitted twice or an index was handed out twice.
//! - A wait ends with the reply, when the node stops leading, at a bound, when the node stops, or when the caller leaves.
//!   [`ReplyErr`] says whether the command may take effect all the same.
//! - Reads do not pass through the log: the leader asks the others whether it still leads, and waits until it has applied
//!   what was committed by then.
//! - With a [`Ticket`] a command takes effect once, however often it is sent: the `sessions` are a part of the state.
//! - A snapshot takes the place of the log when that has grown; commands go on meanwhile.
//! - From time to time the nodes compare what their replies add up to. A node that has come to something else than a
//!   majority stops, since it would answer wrongly; see `compare`.

mod applied;
mod apply;
mod asker;
mod compare;
mod entry;
mod founding;
mod freeze;
mod identity;
mod join;
mod open;
mod replay;
mod replica;
mod sessions;
mod tally;
mod waiters;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use traitwire::CallContext;

use self::applied::Applied;
use self::apply::Applier;
use self::entry::Action;
use self::replica::Replica;
use self::sessions::SessionNames;
use self::waiters::{NoPlace, Waiters};
use super::raft::core::{Proposed, Refusal};
use super::raft::{Applies, Raft, RaftError};
use crate::bugs::{ServiceBug, has};
use crate::services::raft::Index;
use crate::services::rsm::{ReplyErr, StateCheck, Ticket};

pub use apply::RsmError;
pub use freeze::Frozen;
pub use open::{ConfigError, NodeConfig, OpenError, RaftTiming};
pub(super) use replay::{check_state, replay, skip_head};

/// How long a command or a read may wait for its answer where the caller has no earlier deadline.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// The bytes of a command for which it may wait one second longer: a large one takes its time on a slow link, and to send it again
/// would only make it later.
pub(super) const WAIT_BYTES_PER_S: usize = 128 << 10;
/// Which part of the time that a caller has left is kept for the answer's way: a tenth.
const ANSWER_PART: u32 = 10;

/// What is replicated: a state that changes by commands alone.
///
/// Commands and replies are JSON. The same commands in the same order must give the same replies on every node: no clock,
/// no randomness, no order of a hash map may show.
///
/// ```
/// # use std::io::{self, Read};
/// # use traitwire_kv::kv_raft::rsm::StateMachine;
/// /// A sum. A command is a number to add, the reply the new sum.
/// struct Sum(i64);
///
/// impl StateMachine for Sum {
///     fn apply(&mut self, command: &str) -> String {
///         self.0 = self.0.saturating_add(command.parse().unwrap_or(0));
///         self.0.to_string()
///     }
///     fn snapshot(&self) -> Box<dyn Read + Send> {
///         Box::new(io::Cursor::new(self.0.to_string()))
///     }
///     fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
///         self.0 = serde_json::from_reader(snapshot)?;
///         Ok(())
///     }
/// }
///
/// let (mut one, mut other) = (Sum(5), Sum(0));
/// other.restore(&mut one.snapshot()).expect("a state machine restores its own snapshots");
/// assert_eq!(other.apply("1"), "6");
/// ```
pub trait StateMachine: Send + 'static {
    /// Runs a command and gives its reply.
    fn apply(&mut self, command: &str) -> String;

    /// The whole state as it is now, to be read while commands go on.
    fn snapshot(&self) -> Box<dyn Read + Send>;

    /// About how many bytes [`StateMachine::snapshot`] will give, where that is known without reading it. It is shown to people
    /// who wait for a backup.
    fn snapshot_bytes_estimate(&self) -> Option<u64> {
        None
    }

    /// Replaces the state by one that [`StateMachine::snapshot`] gave, perhaps on another node.
    ///
    /// # Errors
    /// When the snapshot cannot be read, or is not one of this kind of state. The node ends then.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;

    /// Checks that [`StateMachine::restore`] will take a snapshot that another node has sent, before it takes the place
    /// of this node's state. It may read only a part; the checksums of all of it are checked in any case.
    ///
    /// # Errors
    /// When `restore` would fail. The snapshot is discarded then, and the node goes on. The default accepts everything,
    /// so a snapshot of something else ends the node.
    fn check(snapshot: &mut dyn Read) -> io::Result<()>
    where
        Self: Sized,
    {
        let _unread = snapshot;
        Ok(())
    }
}

/// The settings of an [`Rsm`].
#[derive(Clone, Copy, Debug)]
pub struct RsmOptions {
    /// A snapshot is taken once the log reaches this size. Large states are saved less often, at up to four times the size. Up to
    /// a quarter is subtracted at random. 0 disables snapshots.
    pub snapshot_log_bytes: usize,
}

impl Default for RsmOptions {
    fn default() -> Self {
        Self { snapshot_log_bytes: 64 << 20 }
    }
}

/// A state machine that is replicated by a [`Raft`].
pub struct Rsm<M> {
    raft: Arc<Raft>,
    replica: Arc<Mutex<Replica<M>>>,
    waiters: Waiters,
    sessions: SessionNames,
    session_key: (u64, u64),
    applied: Arc<Applied>,
    check: watch::Receiver<Option<StateCheck>>,
    ended: watch::Receiver<Option<Result<(), Arc<RsmError>>>>,
}

impl<M: StateMachine> Rsm<M> {
    /// Runs `machine`, which is in its first state, on what `applies` brings.
    pub fn start(raft: Arc<Raft>, applies: Applies, machine: M, options: RsmOptions) -> Arc<Self> {
        let replica = Replica::new(machine);
        let sessions = replica.session_names();
        let replica = Arc::new(Mutex::new(replica));
        let waiters = Waiters::default();
        let applied = Arc::new(Applied::default());
        let (check_in, check) = watch::channel(None);
        let (ended_in, ended) = watch::channel(None);
        raft.check_snapshots(Replica::<M>::check);
        let applier =
            Applier::new(raft.clone(), replica.clone(), waiters.clone(), applied.clone(), check_in, options);
        let applying = tokio::spawn(applier.run(applies));
        let (waiting, node) = (waiters.clone(), raft.clone());
        tokio::spawn(async move {
            let result = match applying.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => {
                    waiting.close(&stopping());
                    node.stop().await;
                    Err(RsmError::Panicked)
                }
                // The runtime is shutting down.
                Err(_) => return,
            };
            if let Err(error) = &result {
                tracing::error!("the state machine has ended: {error}");
            }
            ended_in.send_replace(Some(result.map_err(Arc::new)));
        });
        let session_key = (fastrand::u64(..), fastrand::u64(..));
        Arc::new(Self { raft, replica, waiters, sessions, session_key, applied, check, ended })
    }

    /// Runs a command and waits for its reply. With a ticket it takes effect once, however often it is submitted.
    ///
    /// # Errors
    /// See [`ReplyErr`]: it says whether the command may take effect all the same.
    pub async fn submit(
        &self,
        command: &RawValue,
        ticket: Option<Ticket>,
    ) -> Result<Box<RawValue>, ReplyErr> {
        let ticket = match ticket {
            Some(ticket) => Some(Ticket { session: self.session(ticket.session).await?, ..ticket }),
            None => None,
        };
        self.act(entry_id(), None, Action::Run { ticket, command }).await
    }

    /// Begins a session for tickets. Its name is random, so that nobody can use the session of another client.
    ///
    /// # Errors
    /// As [`Rsm::submit`].
    pub async fn open_session(&self) -> Result<u64, ReplyErr> {
        let context = CallContext::current();
        let client = context.as_ref().and_then(|context| context.headers.get(&traitwire::CLIENT_ID));
        let owner = client.map_or(0, |client| hash_of(client.as_bytes()) >> 32);
        // Ids drawn by `fastrand` can be computed from earlier ones; a keyed hash of them cannot.
        let name = hash_of((self.session_key, fastrand::u64(..)));
        let reply = self.act(name, Some(owner), Action::OpenSession).await?;
        reply.get().parse().map_err(|_| ReplyErr::NoAnswer {
            message: "the reply is not the name of a session".into(),
            submitted: true,
        })
    }

    /// The session with this name, as the log knows it.
    async fn session(&self, name: u64) -> Result<Index, ReplyErr> {
        if let Some(session) = self.sessions.find(name) {
            return Ok(session);
        }
        // A new leader may not have applied yet what opened it.
        self.confirm_read().await?;
        self.sessions.find(name).ok_or(ReplyErr::NoSession)
    }

    /// Looks at the state, which has everything that was done before this call.
    ///
    /// # Errors
    /// When this node does not lead, or is not sure of it in time.
    pub async fn read<T>(&self, look: impl FnOnce(&M) -> T) -> Result<T, ReplyErr> {
        self.confirm_read().await?;
        Ok(look(&locked(&self.replica).machine))
    }

    /// Up to which index a node must have applied the log to see everything that was done before this call.
    ///
    /// # Errors
    /// As [`Rsm::read`].
    pub async fn read_index(&self) -> Result<Index, ReplyErr> {
        let late =
            |_| ReplyErr::NoAnswer { message: "no majority has answered in time".into(), submitted: false };
        tokio::time::timeout_at(deadline(0), self.raft.read_index()).await.map_err(late)?.map_err(refused)
    }

    /// Waits until this node has applied what was committed before this call.
    async fn confirm_read(&self) -> Result<(), ReplyErr> {
        let confirmed = async {
            if has(ServiceBug::ReadWithoutAsking) && self.raft.get_state().1 {
                return Ok(());
            }
            let index = self.raft.read_index().await.map_err(refused)?;
            if has(ServiceBug::ReadTooEarly) || self.applied.reach(index).await {
                Ok(())
            } else {
                Err(ReplyErr::NoAnswer { message: "the node is stopping".into(), submitted: false })
            }
        };
        let late =
            |_| ReplyErr::NoAnswer { message: "no majority has answered in time".into(), submitted: false };
        tokio::time::timeout_at(deadline(0), confirmed).await.map_err(late)?
    }

    /// Looks at the state of this node, which may be behind.
    pub fn peek<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&locked(&self.replica).machine)
    }

    /// The node underneath.
    pub fn raft(&self) -> &Arc<Raft> {
        &self.raft
    }

    /// Up to where this node has applied the log.
    pub fn applied_index(&self) -> Index {
        self.applied.index()
    }

    /// How this node's state compares with those of the others; nothing until they are compared.
    pub fn state_check(&self) -> Option<StateCheck> {
        *self.check.borrow()
    }

    /// How many commands wait here for their replies.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Ends everybody's wait, and the node.
    pub async fn stop(&self) {
        self.waiters.close(&stopping());
        self.raft.stop().await;
    }

    /// Waits until the node has ended.
    ///
    /// # Errors
    /// When its disk has failed or its state has gone wrong.
    pub async fn ended(&self) -> Result<(), Arc<RsmError>> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            // The task was dropped before it could say: by a panic, or with its runtime, where nobody asks.
            Err(_) => Err(Arc::new(RsmError::Panicked)),
        }
    }

    async fn act(&self, id: u64, owner: Option<u64>, action: Action<'_>) -> Result<Box<RawValue>, ReplyErr> {
        let command = entry::encode(id, owner, &action);
        let end = deadline(command.json().len());
        let mut place = self.waiters.enter(id).map_err(|error| match error {
            NoPlace::Closed => {
                ReplyErr::NoAnswer { message: "the node is stopping".into(), submitted: false }
            }
            NoPlace::Full => ReplyErr::Exhausted("too many commands wait".into()),
        })?;
        let waiters = self.waiters.clone();
        let told = Box::new(move |proposed| match proposed {
            // Before anybody can see that this node has stopped leading in that term.
            Proposed::Accepted { term, .. } => waiters.entry_has_term(id, term),
            Proposed::Refused(refusal) => waiters.tell(id, || Err(refused(RaftError::Refused(refusal)))),
        });
        let replied = async {
            self.raft.propose_then(vec![command], told).await.map_err(refused)?;
            place.outcome().await.unwrap_or_else(|| Err(stopping()))
        };
        let late = |_| ReplyErr::NoAnswer { message: "not committed in time".into(), submitted: true };
        tokio::time::timeout_at(end, replied).await.map_err(late)?
    }
}

fn entry_id() -> u64 {
    if has(ServiceBug::IdsCollide) { fastrand::u64(..4) } else { fastrand::u64(..) }
}

/// A keyed hash where the value begins with a key. The same on every run, so that a simulated one can be repeated.
fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// When whoever waits here is told that there was no answer: while the caller still waits for it, so that the answer, which
/// says whether the command may have run, reaches him.
pub(super) fn deadline(command_bytes: usize) -> Instant {
    deadline_within(WAIT_MAX + time_for(command_bytes))
}

/// The same for something that may take up to `wait_max`.
pub(super) fn deadline_within(wait_max: Duration) -> Instant {
    let now = Instant::now();
    let called = CallContext::current().and_then(|context| context.deadline);
    let left = called.map(|deadline| deadline.saturating_duration_since(now));
    now + left.map_or(wait_max, |left| wait_max.min(left - left / ANSWER_PART))
}

/// How much longer a command of so many bytes may take.
pub(super) fn time_for(command_bytes: usize) -> Duration {
    Duration::from_secs((command_bytes / WAIT_BYTES_PER_S) as u64)
}

fn locked<M>(replica: &Mutex<Replica<M>>) -> MutexGuard<'_, Replica<M>> {
    // Only a panic of the user's state machine can poison it; then the applier has ended, and with it the node.
    replica.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(error: RaftError) -> ReplyErr {
    let not_here = |leader| ReplyErr::WrongLeader { leader, submitted: false };
    match error {
        RaftError::Refused(Refusal::NotLeader(leader)) => not_here(leader),
        RaftError::Refused(Refusal::Transferring) => not_here(None),
        RaftError::Refused(Refusal::TooMuch) => ReplyErr::Exhausted("too much waits to be committed".into()),
        RaftError::Refused(Refusal::DiskFull) => ReplyErr::Exhausted("the disk is full".into()),
        RaftError::TooLarge { .. } => ReplyErr::Invalid(error.to_string()),
        RaftError::Stopped => stopping(),
    }
}

fn deposed(leader: Option<crate::services::raft::NodeId>) -> ReplyErr {
    ReplyErr::WrongLeader { leader, submitted: !has(ServiceBug::DeposedMeansNever) }
}

fn stopping() -> ReplyErr {
    ReplyErr::NoAnswer { message: "the node is stopping".into(), submitted: true }
}

//! The state of one node: what each entry of the log does to it, and how it is saved and restored.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use traitwire::log::{Excerpt, LogThrottle};

use super::StateMachine;
use super::apply::RsmError;
use super::entry::{Action, Entry};
use super::sessions::{Opening, SessionNames, Sessions, Verdict};
use super::waiters::Outcome;
use crate::bugs::{ServiceBug, has};
use crate::services::raft::{self, Command, Index, Payload, StateDigest};
use crate::services::rsm::{ReplyErr, Ticket};

/// After how many entries the nodes compare what they have come to.
const COMPARE_EVERY: u64 = 4_096;

/// For how many of the newest entries a node knows what its state had come to.
const DIGESTS_KEPT: usize = 65_536;

/// How long the head of a snapshot may be: far longer than the sessions of a node, whose replies have at most 64 MiB.
const HEAD_BYTES_MAX: u64 = 256 << 20;

/// What an entry adds to the digest that is not a command. Nodes that disagree about that come to different states.
const SKIPPED: &[u8] = b"\0skipped";

static SKIPPED_LOG: LogThrottle = LogThrottle::new(Duration::from_secs(10));
static CLAIM_LOG: LogThrottle = LogThrottle::new(Duration::from_secs(10));

/// The state of one node.
pub(super) struct Replica<M> {
    pub(super) machine: M,
    sessions: Sessions,
    pub(super) applied: Index,
    /// What the replies so far add up to (CRC-32 of all of them).
    pub(super) digest: u32,
    /// What they added up to after each of the newest entries, up to `applied`.
    digests: VecDeque<u32>,
    /// What the other nodes should hear of.
    to_report: Vec<StateDigest>,
    /// The last index up to which a majority agrees with this node.
    pub(super) agreed: Index,
}

/// What a snapshot holds beyond the state machine's own part, which follows it.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    digest: u32,
    sessions: Sessions,
}

impl<M: StateMachine> Replica<M> {
    pub(super) fn new(machine: M) -> Self {
        Self {
            machine,
            sessions: Sessions::default(),
            applied: 0,
            digest: 0,
            digests: VecDeque::new(),
            to_report: Vec::new(),
            agreed: 0,
        }
    }

    /// The sessions by the names that clients know.
    pub(super) fn session_names(&self) -> SessionNames {
        self.sessions.names()
    }

    /// Applies an entry; gives its id, and what whoever submitted it is told.
    ///
    /// An entry that is not a command is skipped: it is committed, so refusing it would stop every node for good.
    pub(super) fn apply(
        &mut self,
        index: Index,
        entry: &raft::Entry,
    ) -> Result<Option<(u64, Told)>, RsmError> {
        let told = match &entry.payload {
            Payload::Command(command) => self.apply_command(index, command)?,
            Payload::Membership(membership) => {
                // Nodes that disagree about who belongs to the cluster must not go on, whatever their states are.
                let json = serde_json::to_vec(&**membership).expect("it has string keys and a Vec takes all");
                self.digest = extended(self.digest, &json);
                None
            }
            Payload::Blank => None,
        };
        self.applied = index;
        if self.digests.len() >= DIGESTS_KEPT {
            self.digests.pop_front();
        }
        self.digests.push_back(self.digest);
        if index.is_multiple_of(COMPARE_EVERY) {
            self.to_report.push(StateDigest { index, digest: self.digest });
        }
        Ok(told)
    }

    fn apply_command(&mut self, index: Index, command: &Command) -> Result<Option<(u64, Told)>, RsmError> {
        let Entry { id, owner, action } = match serde_json::from_str(command.json()) {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(suppressed) = SKIPPED_LOG.permit() {
                    let text = Excerpt(command.json());
                    tracing::error!(
                        index,
                        suppressed,
                        "skipped an entry that is not a command ({error}): {text}"
                    );
                }
                self.digest = extended(self.digest, SKIPPED);
                return Ok(None);
            }
        };
        let told = match action {
            Action::Run { ticket: None, command } => Told::Reply(self.run(command)),
            Action::Run { ticket: Some(ticket), command } => self.run_once(index, &ticket, command),
            Action::OpenSession => {
                let opening = Opening { owner: owner.unwrap_or(0), name: owner.map(|_| id) };
                Told::Reply(self.sessions.open(index, opening).to_string())
            }
            Action::Compare { index, digest, agreed } => {
                let own = self.digest_at(index);
                let differs = own.is_some_and(|own| own != digest);
                if agreed.is_empty() {
                    self.answer_claim(index, own, differs);
                } else if differs {
                    return Err(RsmError::Diverged { index, agreed });
                } else if own.is_some() {
                    self.agreed = self.agreed.max(index);
                }
                Told::Reply("null".to_owned())
            }
        };
        Ok(Some((id, told)))
    }

    /// The leader has said what its state had come to. One node alone proves nothing, so this node says what it has.
    fn answer_claim(&mut self, index: Index, own: Option<u32>, differs: bool) {
        if differs && let Some(suppressed) = CLAIM_LOG.permit() {
            tracing::warn!(
                index,
                suppressed,
                "this node's state differs from the leader's: that of a majority is right"
            );
        }
        self.to_report.extend(own.map(|digest| StateDigest { index, digest }));
    }

    fn run_once(&mut self, index: Index, ticket: &Ticket, command: &RawValue) -> Told {
        match self.sessions.check(ticket, index, command.get()) {
            Verdict::Run => {
                let reply = self.run(command);
                self.sessions.keep(ticket, command.get(), &reply);
                Told::Reply(reply)
            }
            Verdict::Done(_) if has(ServiceBug::TicketRunsTwice) => Told::Reply(self.run(command)),
            Verdict::Done(reply) => Told::Reply(reply),
            Verdict::NoSession => Told::Error(ReplyErr::NoSession),
            Verdict::TooManyUnanswered => Told::Error(ReplyErr::TooManyUnanswered),
            Verdict::NumberTaken => Told::Error(ReplyErr::Invalid(format!(
                "another command of the session has had number {}: give each command a number of its own",
                ticket.number
            ))),
        }
    }

    fn run(&mut self, command: &RawValue) -> String {
        let reply = self.machine.apply(command.get());
        self.digest = extended(self.digest, reply.as_bytes());
        reply
    }

    /// What the state had come to after the entry at `index`, if that is still known.
    pub(super) fn digest_at(&self, index: Index) -> Option<u32> {
        let behind = usize::try_from(self.applied.checked_sub(index)?).ok()?;
        let place = self.digests.len().checked_sub(behind + 1)?;
        self.digests.get(place).copied()
    }

    /// What the other nodes should hear of since the last call.
    pub(super) fn take_reports(&mut self) -> Vec<StateDigest> {
        std::mem::take(&mut self.to_report)
    }

    /// The state as of now, to be read later.
    pub(super) fn snapshot(&self) -> impl Read + Send + 'static {
        let forgets = has(ServiceBug::SnapshotWithoutSessions);
        let sessions = if forgets { Sessions::default() } else { self.sessions.clone() };
        let head = Head { digest: self.digest, sessions };
        let head = serde_json::to_vec(&head).expect("it has string keys and a Vec takes all");
        let length = (head.len() as u64).to_le_bytes();
        io::Cursor::new(length).chain(io::Cursor::new(head)).chain(self.machine.snapshot())
    }

    /// Whether a state can be restored, without restoring it.
    pub(super) fn check(snapshot: &mut dyn Read) -> io::Result<()> {
        let mut snapshot = io::BufReader::new(snapshot);
        read_head(&mut snapshot)?;
        M::check(&mut snapshot)
    }

    pub(super) fn restore(&mut self, index: Index, mut snapshot: impl Read) -> io::Result<()> {
        let head = read_head(&mut snapshot)?;
        self.machine.restore(&mut snapshot)?;
        head.sessions.replace(&mut self.sessions);
        (self.digest, self.applied) = (head.digest, index);
        self.digests.clear();
        self.digests.push_back(self.digest);
        self.to_report.clear();
        Ok(())
    }
}

pub(super) fn read_head(mut snapshot: impl Read) -> io::Result<Head> {
    let mut length = [0; 8];
    snapshot.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEAD_BYTES_MAX {
        let message = format!("its head of {length} bytes is longer than any, {HEAD_BYTES_MAX} at most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut head = Vec::new();
    snapshot.take(length).read_to_end(&mut head)?;
    if head.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&head)?)
}

fn extended(digest: u32, bytes: &[u8]) -> u32 {
    let mut digest = crc32fast::Hasher::new_with_initial(digest);
    digest.update(bytes);
    digest.finalize()
}

/// What whoever has submitted a command is told.
pub(super) enum Told {
    /// The reply, which is JSON.
    Reply(String),
    Error(ReplyErr),
}

impl Told {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Reply(reply) => RawValue::from_string(reply).map_err(|error| {
                ReplyErr::Invalid(format!("the state machine's reply is not JSON: {error}"))
            }),
            Self::Error(error) => Err(error),
        }
    }
}

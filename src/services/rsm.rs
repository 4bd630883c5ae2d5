//! What clients and nodes of a replicated state machine say to each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use traitwire::{Executed, RpcError, RpcResult};

use super::raft::{ClusterId, Incarnation, Index, NodeId, Term};

/// A state machine that a cluster of nodes runs in step: what its leader takes, all of them do.
#[traitwire::service(prefix = "rsm", compat = "backward", internal)]
pub trait Rsm: Send + Sync {
    /// Begins a session: within it a command takes effect once, however often it is sent.
    #[rpc(timeout = "2s")]
    async fn open_session(&self) -> Result<SessionReply, ReplyErr>;

    /// Runs a command on the state of all nodes.
    #[rpc(timeout = "30s")]
    async fn submit(&self, args: SubmitArgs) -> Result<SubmitReply, ReplyErr>;

    /// Asks about the state: the answer knows all that was done before the question.
    #[rpc(read_only, timeout = "2s")]
    async fn query(&self, args: QueryArgs) -> Result<QueryReply, ReplyErr>;

    /// Up to which index a node must have applied the log to know all that was done before the question.
    #[rpc(read_only, timeout = "2s")]
    async fn read_index(&self) -> Result<ReadIndexReply, ReplyErr>;

    /// What this node is and how far it has come.
    #[rpc(read_only, timeout = "2s")]
    async fn status(&self) -> RpcResult<StatusReply>;
}

/// A session that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionReply {
    /// Names the session in tickets.
    pub session: u64,
}

/// A command and, where it may be sent again, its ticket.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubmitArgs {
    /// Which command of which session this is; without it, it takes effect each time it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// The command, as the state machine understands it.
    pub command: Box<RawValue>,
}

/// Names one command of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    /// The session.
    pub session: u64,
    /// The command's number, from 1; the client gives each number once.
    pub number: u64,
    /// The client has the replies to all commands below this number, and wants none of them again.
    pub answered_below: u64,
}

/// What the state machine replied.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubmitReply {
    /// The reply, as the state machine gave it.
    pub reply: Box<RawValue>,
}

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueryArgs {
    /// The question, as the state machine understands it.
    pub question: Box<RawValue>,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct QueryReply {
    /// The answer, as the state machine gave it.
    pub answer: Box<RawValue>,
}

/// Up to where the log must be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadIndexReply {
    /// The index.
    pub index: Index,
}

/// What a node is and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReply {
    /// The node.
    pub id: NodeId,
    /// What it is in its term.
    pub role: NodeRole,
    /// Its term.
    pub term: Term,
    /// The leader of the term; null when it is not known.
    pub leader: Option<NodeId>,
    /// Up to where the log is known to be committed.
    pub commit_index: Index,
    /// Up to where the state machine has applied it.
    pub applied_index: Index,
    /// The index of the last entry of the log.
    pub last_log_index: Index,
    /// The last index that the newest snapshot contains; 0 when there is none.
    pub snapshot_index: Index,
    /// How the state of this node compares with those of the others; absent until they are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_check: Option<StateCheck>,
    /// The id of the node's cluster; absent until it belongs to one, or where the cluster has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// Which data folder the node has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// What keeps the node from taking part, or what it has noticed that needs an operator, and what to do. Absent if all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How the state of a node compares with those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCheck {
    /// The index of the entry after which the states were compared.
    pub index: Index,
    /// What came of it.
    pub agreement: Agreement,
}

/// What came of comparing the states of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// This node's state is that of a majority.
    Agreed,
    /// No majority has the same state, so nobody knows which one is right.
    Disputed,
    /// This node's state is not that of a majority. The node ends.
    Differs,
}

/// What a node is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// It takes commands.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It wants to lead.
    Candidate,
    /// It gets the log and does not vote.
    Learner,
}

/// Why there is no reply, and whether the command may be in the log all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ReplyErr {
    /// The node does not lead (any more).
    #[error("{}", wrong_leader(*leader))]
    WrongLeader {
        /// The node that does, if it is known.
        leader: Option<NodeId>,
        /// Whether the command may be in the log, and take effect.
        submitted: bool,
    },
    /// There is no such session (any more). This copy of the command has not taken effect; an earlier one may have.
    #[error("there is no such session any more")]
    NoSession,
    /// The session has too many commands whose replies the client may still want. This one has not taken effect.
    #[error("too many commands of the session are not answered")]
    TooManyUnanswered,
    /// The node has too much to do, or no space on its disk. The command has not taken effect.
    #[error("{0}")]
    Exhausted(String),
    /// The command is not one. It has not taken effect.
    #[error("{0}")]
    Invalid(String),
    /// There was no answer in time, or the node is stopping.
    #[error("{message}")]
    NoAnswer {
        /// What happened.
        message: String,
        /// Whether the command may be in the log, and take effect.
        submitted: bool,
    },
    /// The server has no replicated state machine. This is how a client understands such a server; no server says it.
    #[error("{0}")]
    #[serde(skip)]
    Unimplemented(String),
}

fn wrong_leader(leader: Option<NodeId>) -> String {
    match leader {
        Some(leader) => format!("node {leader} leads, not the one that was asked"),
        None => "no leader is known: a majority of the nodes may be down or out of reach".to_owned(),
    }
}

impl ReplyErr {
    /// Whether the command may be in the log, and take effect.
    pub fn may_be_submitted(&self) -> bool {
        match self {
            Self::WrongLeader { submitted, .. } | Self::NoAnswer { submitted, .. } => *submitted,
            Self::NoSession
            | Self::TooManyUnanswered
            | Self::Exhausted(_)
            | Self::Invalid(_)
            | Self::Unimplemented(_) => false,
        }
    }
}

impl From<RpcError> for ReplyErr {
    fn from(error: RpcError) -> Self {
        match error.code() {
            traitwire::Code::InvalidArgument => Self::Invalid(error.message().to_owned()),
            traitwire::Code::Unimplemented => Self::Unimplemented(error.message().to_owned()),
            traitwire::Code::ResourceExhausted if error.executed() == Executed::No => {
                Self::Exhausted(error.message().to_owned())
            }
            _ => {
                let submitted = error.executed() == Executed::Unknown;
                // `unavailable` is what this becomes again: it need not be said twice.
                let message = match error.code() {
                    traitwire::Code::Unavailable | traitwire::Code::DeadlineExceeded => {
                        error.message().to_owned()
                    }
                    _ => error.to_string(),
                };
                Self::NoAnswer { message, submitted }
            }
        }
    }
}

impl From<ReplyErr> for RpcError {
    fn from(error: ReplyErr) -> Self {
        let message = error.to_string();
        let made = match &error {
            ReplyErr::Exhausted(_) | ReplyErr::TooManyUnanswered => Self::resource_exhausted(message),
            ReplyErr::Invalid(_) => Self::invalid_argument(message),
            ReplyErr::Unimplemented(_) => Self::unimplemented(message),
            ReplyErr::WrongLeader { .. } | ReplyErr::NoSession | ReplyErr::NoAnswer { .. } => {
                Self::unavailable(message)
            }
        };
        // What is not said to be unexecuted may have been.
        if error.may_be_submitted() { made } else { made.not_executed() }
    }
}

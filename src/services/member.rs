//! What operators and nodes say about who belongs to a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::log::Excerpt;
use traitwire::{Code, Executed, RpcError};

use super::raft::{ClusterId, Goal, Incarnation, Index, Member, NodeId};

/// The members of a cluster. Any node takes these calls and passes them on to the leader.
///
/// One change is made at a time. A new node gets the log as a learner, and votes once it has caught up. A change of the voters
/// takes effect in two steps, between which both the old and the new voters decide (Raft, 6); the leader makes the second one
/// by itself.
#[traitwire::service(prefix = "member", compat = "backward")]
pub trait Members: Send + Sync {
    /// Lists the members, as the leader sees them. Where no leader is known, the node answers what it knows itself.
    #[rpc(read_only, timeout = "2s")]
    async fn list(&self) -> Result<MemberList, MemberErr>;

    /// Adds the node at a URL, which must be empty.
    ///
    /// Returns once it is a learner; `member.list` shows when it has become a voter. Adding the same node again succeeds.
    #[rpc(idempotent, timeout = "30s")]
    async fn add(&self, args: AddMemberArgs) -> Result<MemberReply, MemberErr>;

    /// Makes a learner a voter as soon as it has caught up.
    ///
    /// Returns before that; `member.list` shows when it has become one. Promoting a voter succeeds.
    #[rpc(idempotent, timeout = "30s")]
    async fn promote(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr>;

    /// Removes a member, and returns once it has left.
    #[rpc(timeout = "30s")]
    async fn remove(&self, args: MemberIdArgs) -> Result<MemberReply, MemberErr>;

    /// Adds the node at a URL, which must be empty, and lets it take the place of a voter as soon as it has caught up.
    ///
    /// Returns once it is a learner; `member.list` shows when the other one has left. Replacing by the same node again succeeds.
    #[rpc(idempotent, timeout = "30s")]
    async fn replace(&self, args: ReplaceMemberArgs) -> Result<MemberReply, MemberErr>;

    /// Takes a member back that has lost its data, or that has moved to another URL.
    ///
    /// A node calls this about itself. A node without data does not vote until it has caught up.
    #[rpc(idempotent, timeout = "30s")]
    async fn rejoin(&self, member: Member) -> Result<MemberReply, MemberErr>;
}

/// Which node to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = AddMemberArgs { url: "http://10.0.0.4:7101".to_owned(), learner: false })]
pub struct AddMemberArgs {
    /// The URL at which the other nodes reach it. It must be running, with `serve --join`.
    pub url: String,
    /// Whether it stays a learner: it gets the log and does not vote.
    #[serde(default)]
    pub learner: bool,
}

/// Which member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = MemberIdArgs { id: 4 })]
pub struct MemberIdArgs {
    /// Its id.
    pub id: NodeId,
}

/// Which member to replace, and by which node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = ReplaceMemberArgs { id: 2, url: "http://10.0.0.4:7101".to_owned() })]
pub struct ReplaceMemberArgs {
    /// The id of the member that leaves.
    pub id: NodeId,
    /// The URL of the new node, at which the other nodes reach it. It must be running, with `serve --join`.
    pub url: String,
}

/// A change that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberReply {
    /// The member that was changed.
    pub id: NodeId,
    /// The index of the entry with the change; 0 if there was nothing to change.
    pub index: Index,
}

/// Who belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberList {
    /// The name of the cluster.
    pub cluster: String,
    /// The id of the cluster; null until one has been chosen.
    pub cluster_id: Option<ClusterId>,
    /// The node that answers: the leader, if it is known.
    pub node: NodeId,
    /// The leader; null when it is not known.
    pub leader: Option<NodeId>,
    /// The index of the entry from which the members come; 0 where they have not changed since the cluster was founded by an
    /// earlier version.
    pub index: Index,
    /// Whether the voters are changing, so that both the old and the new ones decide.
    pub joint: bool,
    /// The change that is in progress.
    pub in_progress: Option<MemberChange>,
    /// The members, in the order of their ids.
    pub members: Vec<MemberInfo>,
}

/// One member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberInfo {
    /// The node.
    pub id: NodeId,
    /// Which data folder the node has; null until it has been reached for the first time.
    pub incarnation: Option<Incarnation>,
    /// The URL at which the other nodes reach it; null if it is not known.
    pub url: Option<String>,
    /// What it is.
    pub role: MemberRole,
    /// For a learner: what happens once it has caught up.
    pub goal: Option<Goal>,
    /// How many entries it lacks of what the leader has; null where the leader does not know.
    pub behind: Option<u64>,
    /// Whether it has answered the leader lately; null where that is not known.
    pub reachable: Option<bool>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// It votes and leads.
    Leader,
    /// It votes.
    Voter,
    /// It gets the log and does not vote.
    Learner,
    /// It votes until the voters have changed, and then it does no more.
    Outgoing,
}

/// A change of the members that is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberChange {
    /// The member that it is about, if it is about one.
    pub id: Option<NodeId>,
    /// How far it has come.
    pub step: ChangeStep,
}

/// How far a change of the members has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeStep {
    /// Its entry is not committed yet.
    Committing,
    /// A learner catches up, and becomes a voter then.
    CatchingUp,
    /// The voters change: both the old and the new ones decide.
    Joint,
}

/// A member and its URL, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAddress {
    /// The node.
    pub id: NodeId,
    /// Its URL; null if it is not known.
    pub url: Option<String>,
}

/// Why members were not changed or listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MemberErr {
    /// The node does not lead. Nothing has changed.
    #[error("{}", not_leader(leader.as_ref()))]
    NotLeader {
        /// The node that does, if it is known.
        leader: Option<MemberAddress>,
    },
    /// The leader is new, or about to hand over. Nothing has changed; the same call soon succeeds.
    #[error("the leader is not ready to change the members yet: try again")]
    NotReady,
    /// Another change is in progress. Nothing has changed.
    #[error("{}", in_progress(.0))]
    InProgress(MemberChange),
    /// There is no such member. Nothing has changed.
    #[error("node {id} is not a member: the members are {}", ids(members))]
    NoMember {
        /// The node.
        id: NodeId,
        /// The members.
        members: Vec<NodeId>,
    },
    /// A member has this id, this data folder or this URL. Nothing has changed.
    #[error("{}", exists(*id, reason))]
    Exists {
        /// The member.
        id: NodeId,
        /// What the member and the new node have in common.
        reason: String,
    },
    /// The cluster would have no voters. Nothing has changed.
    #[error("node {id} is the only voter: add another node before you remove it")]
    LastVoter {
        /// The node.
        id: NodeId,
    },
    /// Too few of the voters that would remain have answered lately. Nothing has changed.
    #[error("{}", no_majority(missing))]
    NoMajority {
        /// Those that have not.
        missing: Vec<MemberAddress>,
    },
    /// The leader's disk is full. Nothing has changed.
    #[error("the disk of the leader is full: free some space and try again")]
    DiskFull,
    /// The text is not a URL that nodes can reach. Nothing has changed.
    #[error("{0}")]
    InvalidUrl(String),
    /// The new node does not answer. Nothing has changed.
    #[error(
        "the node at {} does not answer: {reason}; start it with `traitwire serve --join`, and check that the leader can reach \
         that URL",
        Excerpt(url)
    )]
    Unreachable {
        /// Its URL.
        url: String,
        /// Why it cannot be reached.
        reason: String,
    },
    /// The new node cannot become a member. Nothing has changed.
    #[error("the node at {} cannot become a member: {reason}", Excerpt(url))]
    Unsuitable {
        /// Its URL.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// There was no answer in time, or the leader has changed.
    #[error("{message}; see `traitwire member list` for what has become of the change")]
    NoAnswer {
        /// What happened.
        message: String,
        /// Whether the change may take effect.
        submitted: bool,
    },
    /// The server does not belong to a cluster. This is how a client understands such a server; no server says it.
    #[error("{0}")]
    #[serde(skip)]
    Unimplemented(String),
}

fn not_leader(leader: Option<&MemberAddress>) -> String {
    match leader {
        Some(leader) => format!("{} leads, not the node that was asked", address(leader)),
        None => "no leader is known: a majority of the voters may be down or out of reach".to_owned(),
    }
}

fn in_progress(change: &MemberChange) -> String {
    let about = change.id.map_or_else(String::new, |id| format!(" of node {id}"));
    let (what, advice) = match change.step {
        ChangeStep::Committing => ("is not committed yet", "wait for it"),
        ChangeStep::CatchingUp => {
            ("is in progress: the node catches up", "wait for it, or remove that node to cancel")
        }
        ChangeStep::Joint => ("is in progress: the voters change", "wait for it"),
    };
    format!("a change{about} {what}; {advice}")
}

fn exists(id: NodeId, reason: &str) -> String {
    format!(
        "node {id} is a member already: {}; `traitwire member replace` or `remove` makes room for another node",
        Excerpt(reason)
    )
}

fn no_majority(missing: &[MemberAddress]) -> String {
    let missing: Vec<_> = missing.iter().map(address).collect();
    format!(
        "the change would leave less than a majority of the voters alive: {} cannot be reached; start or replace {} first",
        missing.join(", "),
        if missing.len() == 1 { "it" } else { "them" }
    )
}

fn address(member: &MemberAddress) -> String {
    match &member.url {
        Some(url) => format!("node {} ({})", member.id, Excerpt(url)),
        None => format!("node {}", member.id),
    }
}

fn ids(members: &[NodeId]) -> String {
    let ids: Vec<_> = members.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

impl MemberErr {
    /// Whether the change may take effect all the same.
    pub fn may_be_submitted(&self) -> bool {
        matches!(self, Self::NoAnswer { submitted: true, .. })
    }
}

impl From<RpcError> for MemberErr {
    fn from(error: RpcError) -> Self {
        match error.code() {
            Code::Unimplemented => Self::Unimplemented(error.message().to_owned()),
            Code::Unavailable | Code::DeadlineExceeded => Self::NoAnswer {
                message: error.message().to_owned(),
                submitted: error.executed() == Executed::Unknown,
            },
            _ => Self::NoAnswer {
                message: error.to_string(),
                submitted: error.executed() == Executed::Unknown,
            },
        }
    }
}

impl From<MemberErr> for RpcError {
    fn from(error: MemberErr) -> Self {
        let code = match &error {
            MemberErr::NotLeader { .. } | MemberErr::NotReady | MemberErr::NoAnswer { .. } => {
                Code::Unavailable
            }
            MemberErr::NoMember { .. } => Code::NotFound,
            MemberErr::Exists { .. } => Code::AlreadyExists,
            MemberErr::InProgress(_)
            | MemberErr::LastVoter { .. }
            | MemberErr::NoMajority { .. }
            | MemberErr::Unreachable { .. }
            | MemberErr::Unsuitable { .. } => Code::FailedPrecondition,
            MemberErr::DiskFull => Code::ResourceExhausted,
            MemberErr::InvalidUrl(_) => Code::InvalidArgument,
            MemberErr::Unimplemented(_) => Code::Unimplemented,
        };
        let made = Self::new(code, error.to_string());
        // A change that is not known to have been refused may take effect.
        if error.may_be_submitted() { made } else { made.not_executed() }
    }
}

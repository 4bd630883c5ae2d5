//! What the nodes of a cluster say to each other.
//!
//! Every reply can be understood without its request, so that replies which come late, twice or out of order are told
//! from those that matter.

mod identify;
mod membership;
mod random_id;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use traitwire::RpcResult;

pub use identify::IdentifyReply;
pub use membership::{Goal, Member, Membership};
pub use random_id::{ClusterId, Incarnation, RunId};

/// A period with at most one leader; 0 is before the first election.
pub type Term = u64;
/// The place of an entry in the log, from 1; 0 is before the first entry.
pub type Index = u64;
/// A node of the cluster, from 1.
pub type NodeId = u64;
/// Numbers what a leader sends; it grows with each message of a term.
pub type Round = u64;

/// The consensus protocol of the nodes (Raft), not meant for clients.
#[traitwire::service(prefix = "raft", compat = "full", internal)]
pub trait Raft: Send + Sync {
    /// Asks whether an election would be won, and changes nothing (Raft dissertation, 9.6).
    #[rpc(idempotent)]
    async fn pre_vote(&self, sender: Sender, args: VoteArgs) -> RpcResult<VoteReply>;

    /// Asks for a vote (Raft, 5.2).
    #[rpc(idempotent)]
    async fn request_vote(&self, sender: Sender, args: VoteArgs) -> RpcResult<VoteReply>;

    /// Brings entries of the log, or none as a sign of life (Raft, 5.3).
    #[rpc(idempotent)]
    async fn append_entries(&self, sender: Sender, args: AppendEntriesArgs) -> RpcResult<AppendEntriesReply>;

    /// Brings a piece of a snapshot to a node that needs entries which the leader no longer has (Raft, 7).
    #[rpc(idempotent)]
    async fn install_snapshot(
        &self,
        sender: Sender,
        args: InstallSnapshotArgs,
    ) -> RpcResult<InstallSnapshotReply>;

    /// Tells a node to campaign at once, so that it takes over the leadership (Raft dissertation, 3.10).
    #[rpc(idempotent)]
    async fn timeout_now(&self, sender: Sender, args: TimeoutNowArgs) -> RpcResult<TimeoutNowReply>;

    /// Asks a node which one it is, and changes nothing. A node that is new asks its peers before it founds a cluster.
    #[rpc(read_only, timeout = "1s")]
    async fn identify(&self) -> RpcResult<IdentifyReply>;
}

/// Who sends a message, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sender {
    /// The name of the cluster, the same on all its nodes.
    pub cluster: String,
    /// The version of the protocol that the sender speaks.
    pub protocol: u32,
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The id of the sender's cluster; absent in clusters that were founded by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// The sender's incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_incarnation: Option<Incarnation>,
    /// The receiver's incarnation, as the sender's membership names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_incarnation: Option<Incarnation>,
    /// The index of the entry from which the sender's membership comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership_index: Option<Index>,
}

/// A candidate and its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteArgs {
    /// The term in which the sender wants to lead.
    pub term: Term,
    /// The index of the last entry of its log.
    pub last_index: Index,
    /// The term of that entry.
    pub last_term: Term,
    /// Whether the leader itself has asked for this election, so that having one is no reason to refuse.
    pub transfer: bool,
}

/// A vote, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteReply {
    /// The term that the vote is for; when it is refused, the term that the voter is in.
    pub term: Term,
    /// Whether the sender gets the vote.
    pub granted: bool,
}

/// Entries of a leader's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendEntriesArgs {
    /// The leader's term.
    pub term: Term,
    /// Numbers this message; the reply repeats it.
    pub round: Round,
    /// The index of the entry before the first of `entries`.
    pub prev_index: Index,
    /// The term of that entry.
    pub prev_term: Term,
    /// The entries after `prev_index`, in order.
    pub entries: Vec<Entry>,
    /// Up to which index entries are committed.
    pub commit: Index,
    /// How slow the leader's links are, where they are so slow that elections must wait longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<LinkDelay>,
}

/// What a leader has measured of its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkDelay {
    /// How many milliseconds it takes to reach a majority and to have its answers; 0 where that is not long.
    pub round_trip_ms: u64,
    /// For how many milliseconds more than usual the leader may be silent, since much is on the way to the receiver.
    pub busy_ms: u64,
}

/// What became of entries that were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppendEntriesReply {
    /// The term that the follower is in.
    pub term: Term,
    /// The round of the message that is answered.
    pub round: Round,
    /// Whether the follower's log contained the entry before the sent ones.
    pub outcome: AppendOutcome,
    /// What the follower's state has come to, once it was asked for or is due. It has nothing to do with the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<StateDigest>,
}

/// What the replies of a node's state machine add up to. Nodes whose states are the same have the same digest at the
/// same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateDigest {
    /// Up to which index.
    pub index: Index,
    /// The CRC-32 of the replies.
    pub digest: u32,
}

/// Whether the follower's log contained the entry before the sent ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppendOutcome {
    /// It did: up to this index its log is the leader's, and safe on its disk.
    Matched(Index),
    /// It did not.
    Conflict(Conflict),
    /// The message was of an old term; nothing was looked at.
    OldTerm,
}

/// Where a follower's log leaves the leader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conflict {
    /// The `prev_index` that did not fit.
    pub prev_index: Index,
    /// The term of the follower's entry there; 0 when its log is shorter.
    pub term: Term,
    /// The first index at which the follower has an entry of that term; one after its last entry when its log is shorter.
    pub first_index: Index,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallSnapshotArgs {
    /// The leader's term.
    pub term: Term,
    /// Numbers this message; the reply repeats it.
    pub round: Round,
    /// Which snapshot.
    pub snapshot: SnapshotMeta,
    /// How many bytes come before this piece.
    pub offset: u64,
    /// The bytes of this piece.
    pub data: SnapshotBytes,
    /// Whether this is the last piece.
    pub last: bool,
}

/// How far a snapshot has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallSnapshotReply {
    /// The term that the follower is in.
    pub term: Term,
    /// The round of the message that is answered.
    pub round: Round,
    /// The last index of the snapshot that is answered.
    pub last_index: Index,
    /// Which piece is wanted next.
    pub progress: SnapshotProgress,
}

/// Which piece of a snapshot is wanted next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotProgress {
    /// The one that begins after this many bytes.
    Next(u64),
    /// None: the follower has the snapshot's state, safe on its disk.
    Installed,
    /// The message was of an old term; nothing was looked at.
    OldTerm,
}

/// The request to campaign at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeoutNowArgs {
    /// The leader's term.
    pub term: Term,
}

/// Whether the node campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeoutNowReply {
    /// The term that the node is in now.
    pub term: Term,
    /// Whether it campaigns.
    pub campaigns: bool,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Nothing. A new leader commits the entries before it with this one (Raft, 8).
    Blank,
    /// A command to the state machine.
    Command(Command),
    /// Who belongs to the cluster from this entry on.
    Membership(Box<Membership>),
}

/// Which state a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotMeta {
    /// The index of the last entry that it contains.
    pub last_index: Index,
    /// The term of that entry.
    pub last_term: Term,
    /// Who belongs to the cluster after that entry.
    pub membership: Box<Membership>,
}

/// A command to the state machine: any JSON value, kept as the text that it came as and shared by all who hold it.
#[derive(Clone)]
pub struct Command(Arc<RawValue>);

impl Command {
    /// A command from its JSON text.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub fn from_json(json: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json).map(Self::from)
    }

    /// The command of a value.
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are no strings.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::from)
    }

    /// Its JSON text.
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl From<Box<RawValue>> for Command {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Arc::from(raw))
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.json())
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.json() == other.json()
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Command {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A command to the state machine: any JSON value, passed on as it is.",
        })
    }
}

/// Bytes of a snapshot; base64 in JSON (RFC 4648, section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotBytes(pub Bytes);

impl Serialize for SnapshotBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BASE64.encode(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SnapshotBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(|bytes| Self(bytes.into())).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SnapshotBytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SnapshotBytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Bytes of a snapshot in base64 (RFC 4648, section 4).",
            "type": "string",
            "contentEncoding": "base64",
        })
    }
}

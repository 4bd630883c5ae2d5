//! Backups of a running cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::RpcResult;

use super::raft::{Index, Membership, NodeId, SnapshotBytes, Term};
use super::rsm::StateCheck;

/// Backups of a running cluster. Any node that follows the leader takes these calls, and reads a backup from its own state.
///
/// A backup is one consistent state, which has everything that was acknowledged before the call of `backup.begin`. Commands go on
/// while it is read. A backup belongs to the node that has begun it and ends with that node, when its last piece was
/// read and nobody asks for it again, or when no piece is read for half a minute.
#[traitwire::service(prefix = "backup", compat = "backward")]
pub trait Backup: Send + Sync {
    /// Begins a backup. A node that has too many of them under way refuses.
    #[rpc(timeout = "10s")]
    async fn begin(&self) -> RpcResult<BackupReply>;

    /// Reads the next piece of a backup, or the one that was read last once more.
    #[rpc(idempotent, timeout = "30s")]
    async fn read(&self, args: ReadBackupArgs) -> RpcResult<BackupPiece>;

    /// Ends a backup, read or not, so that its node keeps it no longer. Ending a backup that has ended succeeds.
    #[rpc(idempotent, timeout = "2s")]
    async fn end(&self, args: EndBackupArgs) -> RpcResult<()>;
}

/// A backup that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupReply {
    /// Names the backup in later calls.
    pub backup: u64,
    /// What it is a backup of.
    pub header: BackupHeader,
    /// About how many bytes the state has; null if the node cannot tell without reading it.
    pub state_bytes_estimate: Option<u64>,
    /// How the state of the node compares with those of the others; absent until they are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_check: Option<StateCheck>,
}

/// What a backup is a backup of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupHeader {
    /// The name of the cluster.
    pub cluster: String,
    /// The index of the last entry of the log that the state contains.
    pub revision: Index,
    /// The term of that entry.
    pub term: Term,
    /// Who belongs to the cluster after that entry, with the cluster's id.
    pub membership: Membership,
    /// The node whose state it is.
    pub node: NodeId,
    /// When the backup began, by the node's clock, in milliseconds since 1970-01-01 00:00 UTC.
    pub time_ms: u64,
}

/// Which piece of a backup to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadBackupArgs {
    /// Which backup.
    pub backup: u64,
    /// How many bytes of the state come before the piece: those of all pieces so far, or, to read the last piece once more, of all
    /// but that one.
    pub offset: u64,
}

/// Which backup to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndBackupArgs {
    /// Which backup.
    pub backup: u64,
}

/// A piece of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupPiece {
    /// The bytes of this piece.
    pub data: SnapshotBytes,
    /// The CRC-32 of all bytes of the state up to the end of this piece.
    pub crc: u32,
    /// Whether this is the last piece.
    pub last: bool,
}

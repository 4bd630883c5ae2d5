//! The file that says which node a folder belongs to.
//!
//! The file is `identity.json`: `{"format":1,"crc32":N,"identity":{…}}`, with the CRC-32 (IEEE) of the text of `identity`. It is
//! replaced as a whole: a new file is written and synced, takes the name of the old one, and the name is synced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Disk, StorageError};
use crate::services::raft::{ClusterId, Incarnation, NodeId};

/// The name of the file.
pub(super) const FILE_NAME: &str = "identity.json";
/// What the next version of the file is called while it is written.
pub(super) const TEMPORARY_NAME: &str = "identity.tmp";

const FORMAT: u32 = 1;

/// Far longer than any that a node writes.
const FILE_BYTES_MAX: u64 = 64 << 10;

const ADVICE: &str = "Bring back the file as it was written. If it is lost, move the whole folder away and start the node with an \
    empty one: it rejoins its cluster and votes again once it has caught up";

/// Who a node is, as its folder says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeIdentity {
    /// The node.
    pub node: NodeId,
    /// The name of its cluster.
    pub cluster: String,
    /// Names this life of the folder; see [`Incarnation`].
    pub incarnation: Incarnation,
    /// The id of the cluster that the node belongs to, once it is known. It never changes.
    pub cluster_id: Option<ClusterId>,
    /// How far the node has come in its cluster.
    pub standing: Standing,
    /// The nodes, with their URLs, that a cluster of an earlier version consists of, until its log says so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub static_members: BTreeMap<NodeId, String>,
}

/// How far a node has come in its cluster. It decides what an empty log means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has promised nothing to anybody. If its log is empty, it is not bound to a cluster either.
    New,
    /// It was started to join the cluster of `cluster_id`, and has promised nothing yet.
    Joining,
    /// Its log may hold what it has promised to others. An empty log has been lost.
    Member,
    /// Its log was lost. Its incarnation is another one since, and has promised nothing yet.
    LogLost,
}

impl NodeIdentity {
    /// A node that has just begun to exist: it belongs to no cluster yet and has promised nothing.
    pub fn new(node: NodeId, cluster: String) -> Self {
        Self {
            node,
            cluster,
            incarnation: Incarnation::random(),
            cluster_id: None,
            standing: Standing::New,
            static_members: BTreeMap::new(),
        }
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    format: u32,
    crc32: u32,
    identity: Box<RawValue>,
}

/// The file of a node that runs. What [`IdentityFile::get`] returns is on the disk.
pub struct IdentityFile {
    disk: Arc<dyn Disk>,
    saved: Mutex<NodeIdentity>,
    /// Held while the file is replaced, so that changes follow each other.
    replacing: Mutex<()>,
}

impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("IdentityFile").field(&self.get()).finish()
    }
}

impl IdentityFile {
    /// The refusal of a folder that belongs to another node than the one that is started.
    pub fn foreign(disk: &dyn Disk, what: String) -> StorageError {
        StorageError::Foreign { path: disk.path(FILE_NAME), what }
    }

    /// Reads the file of a folder; nothing when the folder has none.
    ///
    /// # Errors
    /// - [`StorageError::Foreign`] when it is of a newer format.
    /// - [`StorageError::Damaged`] when the file is not as it was written.
    /// - [`StorageError::Io`] when the disk fails.
    pub fn read(disk: &dyn Disk) -> Result<Option<NodeIdentity>, StorageError> {
        let failed = |error| StorageError::io(disk, FILE_NAME)(error);
        let file = match disk.open(FILE_NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let bytes = file.bytes().map_err(failed)?;
        if bytes > FILE_BYTES_MAX {
            return Err(damaged(disk, format!("{bytes} bytes are more than a node writes")));
        }
        let text = super::read_all(disk, FILE_NAME)?;
        let parsed: Envelope = match serde_json::from_slice(&text) {
            Ok(parsed) => parsed,
            Err(error) => return Err(newer(disk, &text).unwrap_or_else(|| damaged(disk, error.to_string()))),
        };
        if parsed.format != FORMAT {
            return Err(foreign(disk, parsed.format));
        }
        let crc32 = crc32fast::hash(parsed.identity.get().as_bytes());
        if crc32 != parsed.crc32 {
            return Err(damaged(disk, format!("its checksum is {crc32}, not {} as it says", parsed.crc32)));
        }
        let identity: NodeIdentity =
            serde_json::from_str(parsed.identity.get()).map_err(|error| damaged(disk, error.to_string()))?;
        Ok(Some(identity))
    }

    /// The refusal of a folder whose log belongs to a cluster, and that has no such file.
    pub fn missing(disk: &dyn Disk, cluster_id: ClusterId) -> StorageError {
        damaged(
            disk,
            format!("the file is missing, and the log beside it belongs to the cluster {cluster_id}"),
        )
    }

    /// Writes the file of a folder, which the caller has locked, in the place of the one that is there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn create(disk: Arc<dyn Disk>, identity: NodeIdentity) -> Result<Self, StorageError> {
        write(&*disk, &identity)?;
        Ok(Self { disk, saved: Mutex::new(identity), replacing: Mutex::default() })
    }

    /// Who the node is.
    pub fn get(&self) -> NodeIdentity {
        self.saved().clone()
    }

    /// The node's incarnation, and the id of its cluster once it is known.
    pub fn ids(&self) -> (Incarnation, Option<ClusterId>) {
        let saved = self.saved();
        (saved.incarnation, saved.cluster_id)
    }

    /// How far the node has come in its cluster.
    pub fn standing(&self) -> Standing {
        self.saved().standing
    }

    /// Changes what the file says. When this returns, the change is on the disk. It blocks.
    ///
    /// # Errors
    /// When the disk fails; the identity is then what it was.
    pub fn update(&self, change: impl FnOnce(&mut NodeIdentity)) -> Result<(), StorageError> {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut identity = self.get();
        change(&mut identity);
        if identity != self.get() {
            write(&*self.disk, &identity)?;
            *self.saved() = identity;
        }
        Ok(())
    }

    fn saved(&self) -> MutexGuard<'_, NodeIdentity> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(disk: &dyn Disk, identity: &NodeIdentity) -> Result<(), StorageError> {
    let failed = |error| StorageError::io(disk, FILE_NAME)(error);
    let text = || {
        let identity = serde_json::value::to_raw_value(identity)?;
        let crc32 = crc32fast::hash(identity.get().as_bytes());
        serde_json::to_vec(&Envelope { format: FORMAT, crc32, identity })
    };
    let mut text = text().map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    let replace = || {
        let file = disk.create(TEMPORARY_NAME)?;
        file.write_at(&text, 0)?;
        file.sync()?;
        drop(file);
        disk.rename(TEMPORARY_NAME, FILE_NAME)?;
        disk.sync_names()
    };
    replace().map_err(failed)
}

fn damaged(disk: &dyn Disk, what: String) -> StorageError {
    StorageError::Damaged { path: disk.path(FILE_NAME), offset: 0, what, advice: ADVICE }
}

/// The refusal of a file of a newer format, which may have fields that this version does not know.
fn newer(disk: &dyn Disk, text: &[u8]) -> Option<StorageError> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let format = value.get("format")?.as_u64().filter(|format| *format > u64::from(FORMAT))?;
    Some(foreign(disk, u32::try_from(format).unwrap_or(u32::MAX)))
}

fn foreign(disk: &dyn Disk, format: u32) -> StorageError {
    let what = format!("written in format {format}; this version of the program knows format {FORMAT} only");
    StorageError::Foreign { path: disk.path(FILE_NAME), what }
}

//! What a client of a versioned key-value service sees, whichever service it is: one server or a cluster.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often a key has been put. 0: the key does not exist; the first put makes it 1, each further put adds 1.
pub type Version = u64;

/// Why a get or a put had no effect, or may have had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, thiserror::Error)]
pub enum KVError {
    /// The key does not exist, and the version given was not 0.
    #[error("the key does not exist")]
    NoKey,
    /// The key has another version than the one given; nothing was changed.
    #[error("the key has another version")]
    Version,
    /// The put was applied at most once, at some time after the call began, or never.
    #[error("the put may or may not have been applied")]
    Maybe,
}

/// A client of a versioned key-value service.
#[async_trait]
pub trait KvClient: Send + Sync {
    /// The value of `key` and its version, or [`KVError::NoKey`].
    async fn get(&self, key: &str) -> Result<(String, Version), KVError>;

    /// Writes `value` if `key` is at `version` (0: if it does not exist).
    async fn put(&self, key: &str, value: &str, version: Version) -> Result<(), KVError>;
}

//! The versioned key-value service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use traitwire::{KVError, RpcResult, Version};

/// A versioned key-value store: a put names the version it expects, so that nothing is overwritten unseen.
#[traitwire::service(compat = "backward")]
pub trait Kv: Send + Sync {
    /// Reads a key.
    #[rpc(read_only, timeout = "2s")]
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply>;

    /// Writes a key if its version is the one given; 0 creates a key that does not exist.
    #[rpc(timeout = "2s")]
    async fn put(&self, args: PutArgs) -> RpcResult<PutReply>;
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = GetArgs { key: "colour".to_owned() })]
pub struct GetArgs {
    /// The key, of 1 to 65,536 bytes.
    #[schemars(length(min = 1, max = 65_536), extend("x-length-unit" = "bytes"))]
    pub key: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = GetReply { value: "blue".to_owned(), version: 1, err: None })]
pub struct GetReply {
    /// The value; empty when the key does not exist.
    pub value: String,
    /// How often the key has been put; 0 when it does not exist.
    pub version: Version,
    /// `NoKey` when the key does not exist, otherwise null.
    pub err: Option<KVError>,
}

/// What to write, and over what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = PutArgs { key: "colour".to_owned(), value: "blue".to_owned(), version: 0 })]
pub struct PutArgs {
    /// The key, of 1 to 65,536 bytes.
    #[schemars(length(min = 1, max = 65_536), extend("x-length-unit" = "bytes"))]
    pub key: String,
    /// The new value.
    pub value: String,
    /// The version that the key must have; 0 when it must not exist.
    pub version: Version,
}

/// Whether it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(example = PutReply { version: 1, err: None })]
pub struct PutReply {
    /// The version that the server holds now, also when it refuses.
    pub version: Version,
    /// Why nothing was written; null when it was.
    pub err: Option<KVError>,
}

//! The message that goes to the server and back, one type for all peers, and what a client of it is.

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// About 100 bytes as JSON.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// 16 bytes.
    #[prost(string, tag = "1")]
    pub key: String,
    /// 64 bytes.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Any number.
    #[prost(uint64, tag = "3")]
    pub version: u64,
}

impl Message {
    /// A message that is told from others by its number.
    pub fn numbered(version: u64) -> Self {
        Self { key: "k".repeat(16), value: "v".repeat(64), version }
    }
}

/// A client; clones are the same client.
pub trait Echo: Clone + Send + Sync + 'static {
    /// Sends a message to the server, which sends it back.
    fn echo(&self, message: Message) -> impl Future<Output = Result<Message>> + Send;
}

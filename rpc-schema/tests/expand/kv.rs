//! An ordinary service.

/// A versioned key-value store.
#[service(compat = "full")]
pub trait Kv: Send + Sync {
    /// Reads a key.
    #[rpc(read_only, timeout = "2s", hedge = "20ms")]
    async fn get(&self, args: GetArgs) -> RpcResult<GetReply>;

    /// Writes a key.
    async fn put(&self, args: PutArgs) -> RpcResult<PutReply>;
}

//! Only reads are sent twice.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(hedge = "20ms")]
    async fn put(&self, key: String) -> RpcResult<()>;
    #[rpc(idempotent, hedge = "20ms")]
    async fn set(&self, key: String) -> RpcResult<()>;
}

fn main() {}

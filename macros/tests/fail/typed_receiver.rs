//! An RPC takes `&self`, not a type that holds it.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(self: std::sync::Arc<Self>, key: String) -> RpcResult<String>;
}

fn main() {}

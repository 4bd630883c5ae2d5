//! An RPC has no type parameters.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get<K: Send>(&self, key: K) -> RpcResult<String>;
}

fn main() {}

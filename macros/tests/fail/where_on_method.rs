//! An RPC has no `where` clause.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>
    where
        Self: Sized;
}

fn main() {}

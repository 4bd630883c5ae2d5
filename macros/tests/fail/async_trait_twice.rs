//! The trait is an `async_trait` one already.

use traitwire::RpcResult;

#[traitwire::service]
#[traitwire::async_trait]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

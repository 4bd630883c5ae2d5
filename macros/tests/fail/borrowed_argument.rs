//! An argument is owned.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: &str) -> RpcResult<String>;
}

fn main() {}

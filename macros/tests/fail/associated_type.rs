//! A service has methods only: no types.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    type Key;
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

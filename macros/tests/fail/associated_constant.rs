//! A service has methods only: no constants.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    const KEYS_MAX: usize;
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

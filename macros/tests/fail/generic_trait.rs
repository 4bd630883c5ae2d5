//! A service has no type parameters.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv<K, const N: usize>: Send + Sync {
    async fn get(&self, key: K) -> RpcResult<String>;
}

fn main() {}

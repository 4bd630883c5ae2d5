//! A pointer has no meaning elsewhere.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, hash: fn(u8) -> u8) -> RpcResult<*const u8>;
}

fn main() {}

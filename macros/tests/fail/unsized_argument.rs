//! An argument has a size.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: str, value: [u8]) -> RpcResult<String>;
}

fn main() {}

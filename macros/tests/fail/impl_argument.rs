//! An argument has one type.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: impl Into<String> + Send) -> RpcResult<String>;
}

fn main() {}

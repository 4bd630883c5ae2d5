//! A trait cannot have a method twice.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    async fn get(&self) -> RpcResult<String>;
}

fn main() {}

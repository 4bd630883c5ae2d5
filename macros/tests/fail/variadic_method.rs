//! An RPC has a fixed number of arguments.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String, rest: ...) -> RpcResult<String>;
}

fn main() {}

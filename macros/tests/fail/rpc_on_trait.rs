//! `#[rpc]` goes on methods.

use traitwire::RpcResult;

#[traitwire::service]
#[rpc(read_only)]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

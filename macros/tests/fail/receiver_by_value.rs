//! An RPC takes `&self`, not `self`.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(self, key: String) -> RpcResult<String>;
}

fn main() {}

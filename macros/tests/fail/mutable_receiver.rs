//! An RPC takes `&self`, not `&mut self`.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&mut self, key: String) -> RpcResult<String>;
}

fn main() {}

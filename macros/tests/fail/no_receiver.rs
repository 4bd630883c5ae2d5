//! An RPC takes `&self`, not nothing.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(key: String) -> RpcResult<String>;
}

fn main() {}

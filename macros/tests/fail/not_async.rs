//! An RPC is waited for.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

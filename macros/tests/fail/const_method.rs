//! An RPC cannot be `const`.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    const fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

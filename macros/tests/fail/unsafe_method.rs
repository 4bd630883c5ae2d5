//! An RPC is safe and has no calling convention.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async unsafe fn get(&self, key: String) -> RpcResult<String>;
    async extern "C" fn put(&self, key: String) -> RpcResult<String>;
}

fn main() {}

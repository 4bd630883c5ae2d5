//! An attribute has a form.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(read_only idempotent)]
    async fn get(&self, key: String) -> RpcResult<String>;
    #[rpc = "read_only"]
    async fn put(&self, key: String) -> RpcResult<String>;
}

fn main() {}

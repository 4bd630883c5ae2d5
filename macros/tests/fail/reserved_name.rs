//! A reserved name is not used again.

use traitwire::RpcResult;

#[traitwire::service(reserved("get", "old"))]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    #[rpc(aliases("old"))]
    async fn put(&self, key: String) -> RpcResult<String>;
}

fn main() {}

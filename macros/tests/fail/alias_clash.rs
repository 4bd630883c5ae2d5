//! An alias is a wire name too.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    #[rpc(aliases("get", "fetch", "read"))]
    async fn fetch(&self, key: String) -> RpcResult<String>;
    #[rpc(aliases("read"))]
    async fn load(&self, key: String) -> RpcResult<String>;
}

fn main() {}

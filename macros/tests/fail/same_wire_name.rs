//! A wire name belongs to one method.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    #[rpc(name = "get")]
    async fn fetch(&self, key: String) -> RpcResult<String>;
}

fn main() {}

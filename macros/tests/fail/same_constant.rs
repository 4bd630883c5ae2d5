//! Two methods, one constant.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    #[allow(non_snake_case)]
    async fn Get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

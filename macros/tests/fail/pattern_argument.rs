//! A parameter has a name.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn put(&self, (key, value): (String, String)) -> RpcResult<()>;
    async fn get(&self, _: String) -> RpcResult<String>;
    async fn drop(&self, mut key: String) -> RpcResult<()>;
}

fn main() {}

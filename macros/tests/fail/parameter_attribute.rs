//! A parameter has no attributes.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, #[serde(default)] key: String) -> RpcResult<String>;
}

fn main() {}

//! The stub has a `client` of its own.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn client(&self, key: String) -> RpcResult<String>;
}

fn main() {}

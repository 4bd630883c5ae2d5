//! Deprecated once is enough.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(deprecated = "use put")]
    #[deprecated]
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

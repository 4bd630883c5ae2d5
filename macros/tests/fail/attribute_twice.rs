//! An attribute is given once.

use traitwire::RpcResult;

#[traitwire::service(compat = "full", compat = "none", prefix = "a", name = "b")]
trait Kv: Send + Sync {
    #[rpc(read_only, read_only)]
    #[rpc(timeout = "1s")]
    #[rpc(timeout = "2s")]
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

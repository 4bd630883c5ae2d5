//! The nearest attribute is suggested, here too.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(readonly, time_out = "2s", compat = "full", colour = "red")]
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

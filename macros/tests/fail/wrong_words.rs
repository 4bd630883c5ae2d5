//! Words that an attribute does not know.

use traitwire::RpcResult;

#[traitwire::service(prefix = "rpc", compat = "forward", crate = "not a path")]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

//! The nearest attribute is suggested.

use traitwire::RpcResult;

#[traitwire::service(prefx = "kv", read_only, colour = "red")]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

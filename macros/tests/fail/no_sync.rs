//! `Send` alone is not enough.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

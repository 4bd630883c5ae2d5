//! A service is shared between tasks.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

//! A reply is owned, and so is an error.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<&str>;
    async fn put(&self, key: String) -> Result<(), &'static str>;
}

fn main() {}

//! An argument is owned, however deep.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn put(&self, value: &[u8], path: Option<&std::path::Path>) -> RpcResult<()>;
}

fn main() {}

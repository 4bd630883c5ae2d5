//! An argument is not for changing.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn put(&self, value: &mut Vec<u8>) -> RpcResult<()>;
}

fn main() {}

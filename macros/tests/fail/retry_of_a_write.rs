//! Only what can be repeated is repeated.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(retry = 3)]
    async fn put(&self, key: String) -> RpcResult<()>;
}

fn main() {}

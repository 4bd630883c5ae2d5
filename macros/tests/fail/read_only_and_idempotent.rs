//! One says what the other does.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[rpc(read_only, idempotent)]
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

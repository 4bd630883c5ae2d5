//! The wire does not depend on features.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    #[cfg_attr(unix, rpc(read_only))]
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

//! Names of the protocol itself.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn _get(&self) -> RpcResult<String>;
    #[rpc(name = "rpc.discover", aliases("_schema"))]
    async fn discover(&self) -> RpcResult<String>;
}

fn main() {}

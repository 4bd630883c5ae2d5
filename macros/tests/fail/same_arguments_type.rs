//! Two methods, one struct of arguments.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn put_all(&self) -> RpcResult<String>;
    async fn put__all(&self) -> RpcResult<String>;
}

fn main() {}

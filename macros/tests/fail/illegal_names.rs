//! Names that no URL should carry.

use traitwire::RpcResult;

#[traitwire::service(prefix = "kv.", reserved("?"))]
trait Kv: Send + Sync {
    async fn größe(&self) -> RpcResult<String>;
    #[rpc(name = "a b", aliases("", "a/b", "a..b"))]
    async fn put(&self) -> RpcResult<String>;
}

fn main() {}

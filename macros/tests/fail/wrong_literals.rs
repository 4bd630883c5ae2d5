//! An attribute has one kind of value.

use traitwire::RpcResult;

#[traitwire::service(prefix, compat = full, reserved = 1, crate = 2)]
trait Kv: Send + Sync {
    #[rpc(name = 1, aliases = "a", read_only = true, timeout = 2, retry = "3", hedge, detach = "no", deprecated)]
    async fn get(&self, key: String) -> RpcResult<String>;
    #[rpc(name("a"), aliases(), idempotent(1), timeout, retry = -1, detach(true), deprecated = 1)]
    async fn put(&self, key: String) -> RpcResult<String>;
    #[rpc(aliases(a, 1), retry = 99999999999, read_only)]
    async fn drop(&self, key: String) -> RpcResult<String>;
}

fn main() {}

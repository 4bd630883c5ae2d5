//! An argument has no lifetime.

use traitwire::RpcResult;

struct Key<'a>(&'a str);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Key<'_>) -> RpcResult<String>;
}

fn main() {}

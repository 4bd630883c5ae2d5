//! One of several parameters lacks its derives.

use traitwire::RpcResult;

struct Key(String);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Key, at: u64) -> RpcResult<String>;
}

fn main() {}

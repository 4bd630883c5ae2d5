//! A service has no `where` clause.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync
where
    Self: Clone,
{
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

//! An argument's type does not depend on who serves.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Box<Self>) -> RpcResult<String>;
}

fn main() {}

//! An argument has one type, in a box too.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Box<dyn Send>) -> RpcResult<String>;
}

fn main() {}

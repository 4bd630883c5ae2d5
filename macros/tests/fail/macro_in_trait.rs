//! A service has methods only: no macros.

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    methods!();
    async fn get(&self, key: String) -> RpcResult<String>;
}

#[macro_export]
macro_rules! methods {
    () => {};
}

fn main() {}

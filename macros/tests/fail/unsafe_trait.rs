//! A service is a safe trait.

use traitwire::RpcResult;

#[traitwire::service]
unsafe trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
}

fn main() {}

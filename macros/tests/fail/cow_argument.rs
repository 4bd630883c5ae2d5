//! A `Cow` may borrow.

use std::borrow::Cow;

use traitwire::RpcResult;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Cow<'_, str>) -> RpcResult<String>;
}

fn main() {}

//! A message can be read.

use schemars::JsonSchema;
use serde::Serialize;
use traitwire::RpcResult;

#[derive(Serialize, JsonSchema)]
struct Key(String);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Key) -> RpcResult<String>;
}

fn main() {}

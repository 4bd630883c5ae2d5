//! A message can be written, inside another too.

use schemars::JsonSchema;
use serde::Deserialize;
use traitwire::RpcResult;

#[derive(Deserialize, JsonSchema)]
struct Item(String);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn list(&self) -> RpcResult<Vec<Item>>;
}

fn main() {}

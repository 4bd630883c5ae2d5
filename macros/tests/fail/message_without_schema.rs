//! A message has a schema.

use serde::{Deserialize, Serialize};
use traitwire::RpcResult;

#[derive(Serialize, Deserialize)]
struct Key(String);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Key) -> RpcResult<String>;
}

fn main() {}

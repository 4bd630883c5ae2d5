//! An error of one's own can be made from a failed call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Failed;

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> Result<String, Failed>;
}

fn main() {}

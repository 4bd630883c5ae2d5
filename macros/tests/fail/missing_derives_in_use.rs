//! A message without derives, in a trait that is implemented and used, is one error a derive.

use std::sync::Arc;

use traitwire::{RpcResult, Server};

struct Key(String);

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: Key) -> RpcResult<String>;
}

struct Empty;

#[traitwire::async_trait]
impl Kv for Empty {
    async fn get(&self, key: Key) -> RpcResult<String> {
        Ok(key.0)
    }
}

fn main() {
    let _server: Arc<dyn Server> = Arc::new(KvServer::new(Empty));
    let _kv: Arc<dyn Kv> = Arc::new(KvStub::connect(""));
}

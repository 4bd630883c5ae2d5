//! A mistake in a trait that is implemented and used is one error.

use std::sync::Arc;

use traitwire::{RpcResult, Server};

#[traitwire::service(compat = "forward")]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> RpcResult<String>;
    async fn put(&self, key: &str) -> RpcResult<()>;
    fn drop(&self, key: String) -> RpcResult<()>;
}

struct Empty;

#[traitwire::async_trait]
impl Kv for Empty {
    async fn get(&self, key: String) -> RpcResult<String> {
        Ok(key)
    }

    async fn put(&self, _key: &str) -> RpcResult<()> {
        Ok(())
    }

    fn drop(&self, _key: String) -> RpcResult<()> {
        Ok(())
    }
}

fn main() {
    let _server: Arc<dyn Server> = Arc::new(KvServer::new(Empty));
    let _both: [Arc<dyn Kv>; 3] =
        [Arc::new(Empty), Arc::new(KvStub::connect("")), Arc::new(KvMock::new().on_get(Ok))];
    let _names = (KvStub::GET.name, KV_SERVICE.name);
}

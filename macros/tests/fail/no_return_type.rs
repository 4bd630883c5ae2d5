//! An RPC can fail.

#[traitwire::service]
trait Kv: Send + Sync {
    async fn put(&self, key: String);
}

fn main() {}

//! An RPC can fail, whatever it gives.

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> Vec<String>;
}

fn main() {}

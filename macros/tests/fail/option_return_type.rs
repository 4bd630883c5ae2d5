//! An `Option` does not say why.

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> Option<String>;
}

fn main() {}

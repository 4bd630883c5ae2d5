//! A `Result` whose error is elsewhere.

#[traitwire::service]
trait Kv: Send + Sync {
    async fn get(&self, key: String) -> std::io::Result<String>;
}

fn main() {}

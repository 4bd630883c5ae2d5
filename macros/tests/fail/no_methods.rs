//! A service has something to serve.

#[traitwire::service]
trait Kv: Send + Sync {}

fn main() {}

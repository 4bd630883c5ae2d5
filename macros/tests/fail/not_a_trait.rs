//! The contract is a trait.

#[traitwire::service]
struct Kv;

fn main() {}

//! How long the expansion of a large trait takes: `cargo run --release -p traitwire-schema --example expand_many
//! [METHODS]`, 50 by default.

use std::time::Instant;

use proc_macro2::TokenStream;
use traitwire_schema::codegen;

const ROUNDS: usize = 20;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(50);
    let item: TokenStream = large_trait(count).parse().expect("the trait is made of well-formed text");
    let mut milliseconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let expansion = codegen::expand(TokenStream::new(), item.clone());
            let elapsed = start.elapsed();
            assert!(!expansion.to_string().contains("compile_error"), "the trait has a mistake");
            elapsed.as_secs_f64() * 1_000.0
        })
        .collect();
    milliseconds.sort_by(f64::total_cmp);
    let bytes = codegen::expand(TokenStream::new(), item).to_string().len();
    println!(
        "{count} methods: {:.1} ms at the median of {ROUNDS}, {bytes} bytes of source",
        milliseconds[ROUNDS / 2]
    );
}

/// A trait of which every second method has several parameters.
fn large_trait(methods: usize) -> String {
    let methods: String = (0..methods)
        .map(|i| match i % 2 {
            0 => format!("/// Reads.\n#[rpc(read_only)] async fn get_{i}(&self, args: Args{i}) -> RpcResult<Reply{i}>;\n"),
            _ => format!("/// Writes.\nasync fn put_{i}(&self, key: String, value: Vec<u8>) -> Result<u64, Error>;\n"),
        })
        .collect();
    format!("/// Large.\npub trait Large: Send + Sync {{\n{methods}}}\n")
}

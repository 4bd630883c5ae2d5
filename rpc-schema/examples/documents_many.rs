//! How long the documents of 500 methods take: `cargo run --release -p traitwire-schema --example documents_many
//! [FOLDER]` writes them there, too.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

const ROUNDS: usize = 5;

fn main() {
    let catalogue = common::many::many();
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            assert!(!catalogue.files().is_empty(), "a catalogue has files");
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let files = catalogue.files();
    println!(
        "{} files of 500 methods: {:.0} ms at the median of {ROUNDS}",
        files.len(),
        seconds[ROUNDS / 2] * 1e3
    );
    for (path, text) in files.iter().filter(|(path, _)| !path.starts_with("types/")) {
        println!("  {path}: {} bytes", text.len());
    }
    if let Some(folder) = std::env::args().nth(1) {
        for (path, text) in files {
            let path = std::path::Path::new(&folder).join(path);
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("it can be made");
            std::fs::write(path, text).expect("it can be written");
        }
    }
}

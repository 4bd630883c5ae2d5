//! The command line.

mod cli;

use std::process::ExitCode;

/// A quarter of a busy leader's time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}

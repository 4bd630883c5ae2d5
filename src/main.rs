//! The command line; it has no command yet.

fn main() {}

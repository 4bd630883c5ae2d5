//! The `#[service]` attribute will live here; the crate is empty so far.

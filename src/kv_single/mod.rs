//! The key-value service on one server, which keeps it in memory.

pub mod client;
pub mod server;

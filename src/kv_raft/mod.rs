//! The replicated key-value store: consensus, the state machine over it, and the cluster's client.

pub mod backup;
pub mod client;
pub mod machine;
pub mod raft;
pub mod rsm;
pub mod server;

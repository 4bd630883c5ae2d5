//! The replicated key-value store: consensus, the state machine over it, and the cluster's client.

pub mod raft;

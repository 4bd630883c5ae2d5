//! Consensus between real processes: each node is one, and from each node to each other one there is a network of its own
//! that loses, delays and cuts. A crash is SIGKILL.
//!
//! In every test, from its first to its last moment, `witness` looks at all nodes and compares everything they show.

#![allow(clippy::unwrap_used)]

mod common;

#[path = "raft/bad_input.rs"]
mod bad_input;
#[path = "raft/churn.rs"]
mod churn;
#[path = "raft/client.rs"]
mod client;
#[path = "raft/cluster.rs"]
mod cluster;
#[path = "raft/conflicts.rs"]
mod conflicts;
#[path = "raft/costs.rs"]
mod costs;
#[path = "raft/elections.rs"]
mod elections;
#[path = "raft/figure_8.rs"]
mod figure_8;
#[path = "raft/folders.rs"]
mod folders;
#[path = "raft/log_node.rs"]
mod log_node;
#[path = "raft/partitions.rs"]
mod partitions;
#[path = "raft/persistence.rs"]
mod persistence;
#[path = "raft/replication.rs"]
mod replication;
#[path = "raft/snapshots.rs"]
mod snapshots;
#[path = "raft/witness.rs"]
mod witness;

/// How often a test does what it does: what the variable `name` says, or `usual`.
fn count(name: &str, usual: usize) -> usize {
    match std::env::var(name) {
        Ok(count) => count.parse().unwrap_or_else(|_| panic!("{name}={count} is no number")),
        Err(_) => usual,
    }
}

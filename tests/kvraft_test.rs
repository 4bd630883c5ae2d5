//! The replicated key-value store: nodes that are processes, networks between them and in front of them, crashes that are
//! SIGKILL, and every history checked to be linearizable.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "kvraft/basics.rs"]
mod basics;
#[path = "kvraft/bulk.rs"]
mod bulk;
#[path = "kvraft/faults.rs"]
mod faults;
#[path = "kvraft/lock.rs"]
mod lock;
#[path = "kvraft/node.rs"]
mod node;
#[path = "kvraft/snapshots.rs"]
mod snapshots;

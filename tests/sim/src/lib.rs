//! A seeded simulator of whole Raft clusters.
//!
//! The algorithm under test is the one that serves, over the write-ahead log that serves; what is simulated is the world:
//! time, the network, the disks, the clocks and the clients. One seed decides everything, so any run can be repeated.
//!
//! - [`plan`] says what a run is, and draws it from a seed. [`nemesis`] has the faults, [`network`] the profiles.
//! - [`cluster`] has the events: what a host does for its core, what a client asks, how a node ends.
//! - `invariants` is what must hold after every event; [`violation`] names what can be broken.
//! - [`run`] runs a seed from faults to calm. [`bank`] runs it with bugs, which must be found. [`scenarios`] are runs that
//!   are made by hand.

pub mod bank;
mod change_plan;
mod client;
mod clock;
pub mod cluster;
mod disk;
pub mod host_bug;
mod invariants;
mod machine;
pub mod nemesis;
pub mod network;
mod node;
mod operator;
pub mod plan;
mod queue;
pub mod run;
pub mod scenarios;
mod shadow;
mod show;
pub mod stack;
mod trace;
pub mod violation;

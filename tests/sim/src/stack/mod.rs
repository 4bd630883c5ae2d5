//! Whole nodes in virtual time: everything that serves but for sockets, disks and clocks.
//!
//! The other half of this package simulates cores, which are values. Here run the tasks that serve: the driver, the replicated
//! state machine, the services of a node, the clients and the lock, with their JSON, over a network that loses, repeats, delays
//! and cuts ([`wire`](self), in `wire.rs`) and over the simulated disk. They run in one thread whose clock stands still while
//! anything can be done, and then jumps: so a seed decides the whole run, and seconds of a cluster take a moment.
//!
//! - `plan.rs` says what a run is: drawn from a seed, or a scenario with a name ([`ROWS`]).
//! - `wire.rs` is the network, `host.rs` a machine with a node on it, `world.rs` all of them and what goes wrong.
//! - `load.rs` has the clients, `book.rs` what they were told, `run.rs` a run from faults to calm and what must hold then.
//!
//! What virtual time cannot do is stop a process: its timers run on. Pauses are left to the simulator of cores and to the
//! tests with real processes.

mod book;
mod host;
mod load;
mod plan;
mod run;
pub mod scripts;
mod wire;
mod world;

pub use plan::{ROWS, Row, StackPlan};
pub use run::{Outcome, Totals, run_plan, run_with_bug};
pub use world::{FaultKind, World};

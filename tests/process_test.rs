//! The processes of the command line as an operator meets them: what ends them and what they leave behind, what they log, and
//! what their health checks say.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "process/health.rs"]
mod health;
#[path = "process/orphans.rs"]
mod orphans;
#[path = "process/running.rs"]
mod running;
#[path = "process/supervision.rs"]
mod supervision;
#[path = "process/usage.rs"]
mod usage;

//! The members of a cluster of processes change while it runs.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "member/bad_input.rs"]
mod bad_input;
#[path = "member/changes.rs"]
mod changes;
#[path = "member/crashes.rs"]
mod crashes;
#[path = "member/operator.rs"]
mod operator;
#[path = "member/rounds.rs"]
mod rounds;

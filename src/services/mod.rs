//! The contract: annotated traits and their messages, nothing else.

pub mod kv;
pub mod member;
pub mod raft;
pub mod rsm;

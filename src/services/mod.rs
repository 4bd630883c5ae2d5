//! The contract: annotated traits and their messages, nothing else.

pub mod backup;
pub mod kv;
pub mod member;
pub mod raft;
pub mod rsm;

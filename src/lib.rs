//! A versioned key-value store and a distributed lock.

pub mod lock;
pub mod retry;
pub mod store;

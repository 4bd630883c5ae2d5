//! A versioned key-value store and a distributed lock.

pub mod kv_single;
pub mod lock;
pub mod retry;
pub mod services;
pub mod store;

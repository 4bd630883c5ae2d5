//! A versioned key-value store and a distributed lock.

pub mod bugs;
pub mod call;
pub mod kv_raft;
pub mod kv_single;
pub mod lock;
pub mod retry;
pub mod services;
pub mod store;
pub mod url;

/// Every annotated service of this crate, found by the build script; the build proves that the attribute and the
/// script have read the same source.
pub mod index {
    include!(concat!(env!("OUT_DIR"), "/service_index.rs"));
}

/// The code in the README, which must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

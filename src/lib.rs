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

/// The programs in the README and in the guide, which must compile and run as printed.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/services.md")]
    mod services {}
    #[doc = include_str!("../docs/clients.md")]
    mod clients {}
    #[doc = include_str!("../docs/layers.md")]
    mod layers {}
    #[doc = include_str!("../docs/documents.md")]
    mod documents {}
    #[doc = include_str!("../docs/compatibility.md")]
    mod compatibility {}
    #[doc = include_str!("../docs/store.md")]
    mod store {}
    #[doc = include_str!("../docs/raft.md")]
    mod raft {}
}

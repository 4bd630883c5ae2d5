//! A versioned key-value store and a lock, replicated by Raft, and the Raft that replicates them.
//!
//! ```
//! use std::sync::Arc;
//!
//! use traitwire::{KVError, KvClient, RpcClient};
//! use traitwire_kv::kv_single::{client::SingleKvClient, server::SingleKvServer};
//! use traitwire_kv::lock::Lock;
//! use traitwire_kv::services::kv::KvServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), KVError> {
//! // A server in this process. `ClusterKvClient::new(urls, id)` is the client of a cluster, with the same methods.
//! let kv = SingleKvClient::new(RpcClient::in_process(KvServer::new(SingleKvServer::new())));
//! kv.put("colour", "blue", 0).await?;
//! assert_eq!(kv.get("colour").await?, ("blue".to_owned(), 1));
//! assert_eq!(kv.put("colour", "red", 0).await, Err(KVError::Version));
//!
//! let lock = Lock::new(Arc::new(kv), "backup");
//! let _token = lock.acquire().await;
//! lock.release().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - The store: [`kv_raft::client::ClusterKvClient`], and [`services::kv`] for its contract.
//! - The lock: [`lock::Lock`].
//! - To replicate a state of your own: [`kv_raft::rsm`], whose [`StateMachine`](kv_raft::rsm::StateMachine) you implement.
//! - A replicated log alone: [`kv_raft::raft`], which also explains the algorithm.
//!
//! The command line, `traitwire`, is in the same package.

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

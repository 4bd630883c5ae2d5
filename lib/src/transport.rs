//! How a call reaches a server: one small trait, and its implementations.

mod coalesce;
mod exchange;
mod http;
mod in_process;

#[cfg(feature = "testing")]
mod faulty;
#[cfg(any(test, feature = "testing"))]
mod network;

use async_trait::async_trait;
use bytes::Bytes;

use crate::call::Call;
use crate::error::RpcResult;

pub use coalesce::CoalesceLimits;
#[cfg(feature = "testing")]
pub use faulty::{Faults, FaultyTransport};
pub use http::HttpTransport;
pub use in_process::InProcess;
#[cfg(any(test, feature = "testing"))]
pub use network::{BodyPieces, Network};

/// Carries one call to a server and its reply, as JSON, back.
///
/// A transport says of a failed call whether it may have been executed ([`RpcError::executed`](crate::RpcError::executed)):
/// `No` only when no byte of it can have reached a server. It need not keep the deadline; the client above it does.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the call and waits for its reply. Called within a tokio runtime; the call may be sent before the future is
    /// polled. A caller that drops the future does not want the reply any more.
    async fn send(&self, call: Call) -> RpcResult<Bytes>;
}

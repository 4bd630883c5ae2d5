//! A transport that loses and delays calls, the same way for the same seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Transport;
use crate::call::Call;
use crate::error::{RpcError, RpcResult};

/// What a [`FaultyTransport`] does to calls.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The share of requests that are lost, from 0 to 1: the server never sees them.
    pub requests_lost: f64,
    /// The share of replies that are lost, from 0 to 1: the server has executed the request.
    pub replies_lost: f64,
    /// The longest delay before a request is sent.
    pub delay_max: Duration,
}

/// Puts [`Faults`] in front of another transport.
pub struct FaultyTransport {
    inner: Arc<dyn Transport>,
    faults: Faults,
    random: Mutex<fastrand::Rng>,
}

impl FaultyTransport {
    /// Faults in front of `inner`, chosen by `seed`.
    pub fn new(inner: Arc<dyn Transport>, faults: Faults, seed: u64) -> Self {
        Self { inner, faults, random: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }
}

#[async_trait]
impl Transport for FaultyTransport {
    async fn send(&self, call: Call) -> RpcResult<Bytes> {
        let (request_lost, reply_lost, delay) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            (
                random.f64() < self.faults.requests_lost,
                random.f64() < self.faults.replies_lost,
                self.faults.delay_max.mul_f64(random.f64()),
            )
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // A caller cannot tell which of the two was lost.
        if request_lost {
            return Err(RpcError::unavailable("no reply"));
        }
        let reply = self.inner.send(call).await;
        if reply_lost { Err(RpcError::unavailable("no reply")) } else { reply }
    }
}

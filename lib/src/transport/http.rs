//! The HTTP/1.1 transport: a lone call is a `POST /{method}`, calls made together are one JSON-RPC batch.

use std::sync::Arc;

use bytes::Bytes;

use super::Transport;
use super::coalesce::{CoalesceLimits, Lane};
use super::exchange::Exchange;
use crate::call::Call;
use crate::codegen::BoxFuture;
use crate::error::RpcResult;

/// Sends calls over HTTP/1.1 with keep-alive.
pub struct HttpTransport {
    lane: Arc<Lane>,
}

impl HttpTransport {
    /// A transport to the server at `url`.
    pub fn new(url: &str, limits: CoalesceLimits) -> Self {
        Self { lane: Lane::new(Exchange::new(url), limits) }
    }

    /// A transport whose requests a test carries itself.
    #[cfg(any(test, feature = "testing"))]
    pub fn over(network: Arc<dyn super::Network>, limits: CoalesceLimits) -> Self {
        Self { lane: Lane::new(Exchange::over(network), limits) }
    }
}

impl Transport for HttpTransport {
    fn send<'transport, 'call>(&'transport self, call: Call) -> BoxFuture<'call, RpcResult<Bytes>>
    where
        'transport: 'call,
        Self: 'call,
    {
        self.lane.send(call)
    }
}

//! A transport to a server in the same process; messages still pass through JSON.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Transport;
use crate::call::Call;
use crate::error::RpcResult;
use crate::rpc::Server;
use crate::server::Handler;

/// Calls a [`Server`] without a network. A handler that may change state runs to its end even when the caller leaves,
/// and a panic is an error, as they are behind HTTP. It is run by who waits for the reply: a call that is kept, and not polled,
/// stands still with all that its handler holds.
pub struct InProcess {
    handler: Arc<Handler>,
}

impl InProcess {
    /// A transport to `server`.
    pub fn new(server: Arc<dyn Server>) -> Self {
        Self { handler: Arc::new(Handler::new(server, Vec::new())) }
    }
}

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, mut call: Call) -> RpcResult<Bytes> {
        call.descriptor = self.handler.method(&call.method);
        self.handler.run(call, ()).await
    }
}

//! Layers: what a user puts around every call, on the client or on the server, such as tracing or authentication.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::call::Call;
use crate::error::RpcResult;

/// Something around every call. The same trait serves both sides: on a client `next` sends the call, on a server it
/// runs the handler.
///
/// What a layer changes about a call takes effect inside of it. On a server, the handler gets the changed method and
/// arguments, and its [`CallContext`](crate::CallContext) and the calls that it makes have the changed headers and
/// deadline. A layer can make the deadline earlier; later than the caller's it is of no use, as the caller has left by then.
///
/// ```
/// use traitwire::{Bytes, Call, Layer, Next, RpcError, Code, RpcResult};
///
/// /// Lets in only callers that know the token.
/// struct RequireToken;
///
/// #[traitwire::async_trait]
/// impl Layer for RequireToken {
///     async fn call(&self, call: Call, next: Next<'_>) -> RpcResult<Bytes> {
///         match call.headers.get("authorization") {
///             Some(token) if token == "Bearer sesame" => next.run(call).await,
///             _ => Err(RpcError::new(Code::Unauthenticated, "this service asks for a token")),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Layer: Send + Sync {
    /// Handles one call; may change it, answer it, or look at the reply of `next`.
    async fn call(&self, call: Call, next: Next<'_>) -> RpcResult<Bytes>;
}

/// Where a call ends: a transport on the client, a server on the server.
#[async_trait]
pub(crate) trait Endpoint: Send + Sync {
    /// Looks up what is known of the method, which a layer may have changed.
    fn describe(&self, _call: &mut Call) {}

    async fn finish(&self, call: Call) -> RpcResult<Bytes>;
}

/// The rest of a call's way.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    layers: &'a [Arc<dyn Layer>],
    endpoint: &'a dyn Endpoint,
}

impl<'a> Next<'a> {
    pub(crate) fn new(layers: &'a [Arc<dyn Layer>], endpoint: &'a dyn Endpoint) -> Self {
        Self { layers, endpoint }
    }

    /// Goes on; may be called again, which sends the call again.
    pub async fn run(self, mut call: Call) -> RpcResult<Bytes> {
        self.endpoint.describe(&mut call);
        match self.layers.split_first() {
            Some((layer, layers)) => layer.call(call, Next { layers, endpoint: self.endpoint }).await,
            None => self.endpoint.finish(call).await,
        }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

//! Runs one call on a server: layers around it, its deadline kept, a panic caught, and to its end where it may change
//! state.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;
use traitwire_schema::{MethodDescriptor, ServiceDescriptor};

use crate::call::{Call, CallContext};
use crate::error::{RpcError, RpcResult};
use crate::layer::{Endpoint, Layer, Next};
use crate::rpc::Server;

/// A server with the layers around it.
pub(crate) struct Handler {
    server: Arc<dyn Server>,
    layers: Arc<[Arc<dyn Layer>]>,
}

struct ServerEndpoint(Arc<dyn Server>);

#[async_trait]
impl Endpoint for ServerEndpoint {
    async fn finish(&self, call: Call) -> RpcResult<Bytes> {
        (*self.0).try_dispatch(&call.method, call.arguments).await
    }
}

impl Handler {
    pub(crate) fn new(server: Arc<dyn Server>, layers: Vec<Arc<dyn Layer>>) -> Self {
        Self { server, layers: layers.into() }
    }

    pub(crate) fn services(&self) -> Vec<&'static ServiceDescriptor> {
        self.server.services()
    }

    pub(crate) fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        self.server.method(name)
    }

    /// Runs `call`; `guard` is dropped when the handler has ended, which may be after the caller has left.
    ///
    /// The handler runs on the caller's task: most end in their first step, and a task of its own would cost a handler more than
    /// it does. One that the caller leaves unfinished goes on in a task of its own, unless its method changes nothing.
    pub(crate) async fn run<G: Send + 'static>(&self, call: Call, guard: G) -> RpcResult<Bytes> {
        let descriptor = call.descriptor;
        let deadline = call.deadline;
        let goes_on = descriptor.is_none_or(|method| method.detach);
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let error = RpcError::deadline_exceeded("the deadline passed before the call began");
            return Err(error.not_executed().about(descriptor));
        }
        let unfinished = Unfinished { handler: self.start(call, guard), goes_on, begun_in: None };
        until(deadline, unfinished).await.map_err(|error| error.about(descriptor))
    }

    fn start<G: Send + 'static>(&self, call: Call, guard: G) -> BoxFuture<'static, RpcResult<Bytes>> {
        let context = CallContext { deadline: call.deadline, headers: Arc::clone(&call.headers) };
        let server = Arc::clone(&self.server);
        let layers = Arc::clone(&self.layers);
        let handler = async move {
            let result = if layers.is_empty() {
                // Within the block, so that a panic before there is a future is caught too.
                let dispatched = async { (*server).try_dispatch(&call.method, call.arguments).await };
                AssertUnwindSafe(dispatched).catch_unwind().await
            } else {
                let endpoint = ServerEndpoint(server);
                AssertUnwindSafe(Next::new(&layers, &endpoint).run(call)).catch_unwind().await
            };
            drop(guard);
            result.unwrap_or_else(|panic| {
                Err(RpcError::internal(format!("the handler panicked: {}", text(&panic))))
            })
        };
        Box::pin(context.scope(handler))
    }
}

/// A handler that is run by whoever waits for it.
struct Unfinished {
    handler: BoxFuture<'static, RpcResult<Bytes>>,
    /// Whether it goes on when nobody waits for it any more.
    goes_on: bool,
    /// Where it goes on; nothing before it has begun and after it has ended.
    begun_in: Option<Handle>,
}

impl Future for Unfinished {
    type Output = RpcResult<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let runtime = self.begun_in.take();
        let polled = self.handler.as_mut().poll(context);
        if polled.is_pending() && self.goes_on {
            self.begun_in = runtime.or_else(|| Handle::try_current().ok());
        }
        polled
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(runtime) = self.begun_in.take() {
            let nothing = Box::pin(std::future::pending());
            runtime.spawn(std::mem::replace(&mut self.handler, nothing));
        }
    }
}

async fn until(
    deadline: Option<Instant>,
    running: impl Future<Output = RpcResult<Bytes>>,
) -> RpcResult<Bytes> {
    match deadline {
        None => running.await,
        Some(deadline) => tokio::time::timeout_at(deadline, running).await.unwrap_or_else(|_| {
            Err(RpcError::deadline_exceeded("the deadline passed before the call ended"))
        }),
    }
}

fn text(panic: &Box<dyn Any + Send>) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

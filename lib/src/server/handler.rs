//! Runs one call on a server: layers around it, its deadline kept, a panic caught, and to its end where it may change
//! state.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

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
use crate::log::{Excerpt, LogThrottle};
use crate::rpc::Server;

/// How often a panic is logged: callers may cause as many as they like.
const PANIC_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A server with the layers around it.
pub(crate) struct Handler {
    server: Arc<dyn Server>,
    layers: Arc<[Arc<dyn Layer>]>,
}

/// Where a call ends that has passed the layers, which may have changed it, more than once.
struct ServerEndpoint {
    server: Arc<dyn Server>,
    /// Dropped when the last handler has ended.
    guard: Arc<dyn Any + Send + Sync>,
    /// Whether a method was called that may change state.
    changes_state: Arc<AtomicBool>,
}

#[async_trait]
impl Endpoint for ServerEndpoint {
    fn describe(&self, call: &mut Call) {
        call.descriptor = self.server.method(&call.method);
    }

    async fn finish(&self, call: Call) -> RpcResult<Bytes> {
        let (method, deadline) = (call.descriptor, call.deadline);
        if !call.is_read_only() {
            self.changes_state.store(true, Ordering::Relaxed);
        }
        if is_over(deadline) {
            return Err(too_late(method));
        }
        let handler = dispatch(Arc::clone(&self.server), call, Arc::clone(&self.guard));
        let unfinished = Unfinished { handler, goes_on: goes_on(method), begun_in: None };
        until(deadline, unfinished).await.map_err(|error| error.about(method))
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
    pub(crate) async fn run<G: Send + Sync + 'static>(&self, call: Call, guard: G) -> RpcResult<Bytes> {
        let (method, deadline) = (call.descriptor, call.deadline);
        if is_over(deadline) {
            return Err(too_late(method));
        }
        let unfinished = |handler| Unfinished { handler, goes_on: goes_on(method), begun_in: None };
        if self.layers.is_empty() {
            let handler = unfinished(dispatch(Arc::clone(&self.server), call, guard));
            return until(deadline, handler).await.map_err(|error| error.about(method));
        }
        let changes_state = Arc::new(AtomicBool::new(false));
        let handler = unfinished(self.start_layers(call, guard, Arc::clone(&changes_state)));
        until(deadline, handler).await.map_err(|error| {
            // A layer may have called another method than the caller.
            error.about(method.filter(|_| !changes_state.load(Ordering::Relaxed)))
        })
    }

    /// The layers with the handler inside them.
    fn start_layers<G: Send + Sync + 'static>(
        &self,
        call: Call,
        guard: G,
        changes_state: Arc<AtomicBool>,
    ) -> BoxFuture<'static, RpcResult<Bytes>> {
        let context = CallContext::of(&call);
        let layers = Arc::clone(&self.layers);
        let endpoint =
            ServerEndpoint { server: Arc::clone(&self.server), guard: Arc::new(guard), changes_state };
        let running = async move {
            let result = AssertUnwindSafe(Next::new(&layers, &endpoint).run(call)).catch_unwind().await;
            drop(endpoint);
            result.unwrap_or_else(|panic| Err(panicked("a layer", &panic)))
        };
        Box::pin(context.scope(running))
    }
}

/// The handler of a call, with the context that it sees. It drops `guard` when it has ended.
fn dispatch<G: Send + 'static>(
    server: Arc<dyn Server>,
    call: Call,
    guard: G,
) -> BoxFuture<'static, RpcResult<Bytes>> {
    let context = CallContext::of(&call);
    let handler = async move {
        // Within the block, so that a panic before there is a future is caught too.
        let dispatched = async { (*server).try_dispatch(&call.method, call.arguments).await };
        let result = AssertUnwindSafe(dispatched).catch_unwind().await;
        drop(guard);
        result.unwrap_or_else(|panic| Err(panicked("the handler", &panic)))
    };
    Box::pin(context.scope(handler))
}

/// Whether a handler of this method runs to its end although nobody waits for it any more.
fn goes_on(method: Option<&MethodDescriptor>) -> bool {
    method.is_none_or(|method| method.detach)
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

fn too_late(method: Option<&MethodDescriptor>) -> RpcError {
    RpcError::deadline_exceeded("the deadline passed before the call began").not_executed().about(method)
}

fn panicked(what: &str, panic: &Box<dyn Any + Send>) -> RpcError {
    // Its text is for those who wrote the handler: it may quote what no caller should see.
    static THROTTLE: LogThrottle = LogThrottle::new(PANIC_LOG_INTERVAL);
    if let Some(suppressed) = THROTTLE.permit() {
        tracing::error!(suppressed, "{what} panicked: {}", Excerpt(text(panic)));
    }
    RpcError::internal(format!("{what} panicked; the log of the server says more"))
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

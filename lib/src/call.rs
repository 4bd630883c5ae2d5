//! One call on its way: what a transport carries, what a layer sees, what a handler can ask about its caller.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use tokio::time::Instant;
use traitwire_schema::MethodDescriptor;

/// The header with the caller's id, a decimal number.
pub static CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
/// The header with the time the caller is still willing to wait, in milliseconds (Connect protocol, "Timeout").
pub static TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");
/// The longest time that [`TIMEOUT_MS`] can tell: its numbers have at most ten digits.
pub(crate) const TIMEOUT_MS_MAX: u64 = 9_999_999_999;
/// The header that ties a call to a trace (W3C Trace Context).
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header by which a server of the same cluster says that a request is its own, so that it counts as a peer's: see
/// [`HttpServer::reserve`](crate::HttpServer::reserve).
pub static PEER: HeaderName = HeaderName::from_static("x-traitwire-peer");

/// One call: what a [`Transport`](crate::Transport) sends and a [`Layer`](crate::Layer) sees, on both sides of the wire.
#[derive(Clone, Debug)]
pub struct Call {
    /// The wire name of the method.
    pub method: Cow<'static, str>,
    /// What is known of the method; nothing for a hand-written server or a call by name.
    pub descriptor: Option<&'static MethodDescriptor>,
    /// The arguments, as JSON.
    pub arguments: Bytes,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// What goes with the call in HTTP headers.
    pub headers: Arc<HeaderMap>,
}

impl Call {
    /// A call without deadline or headers.
    pub fn new(method: impl Into<Cow<'static, str>>, arguments: impl Into<Bytes>) -> Self {
        Self {
            method: method.into(),
            descriptor: None,
            arguments: arguments.into(),
            deadline: None,
            headers: Arc::new(HeaderMap::new()),
        }
    }

    /// Sets a header, for this call only.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        Arc::make_mut(&mut self.headers).insert(name, value);
    }

    /// Whether the method is known to change nothing.
    pub fn is_read_only(&self) -> bool {
        self.descriptor.is_some_and(MethodDescriptor::is_read_only)
    }

    /// The time left until the deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// The deadline of who will wait for `time`; none where it is too far off to be told.
pub(crate) fn deadline_after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// The earlier of two deadlines, of which each may be none.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

tokio::task_local! {
    static CURRENT: CallContext;
}

/// What a handler can ask about the call it serves. Calls that the handler makes through an
/// [`RpcClient`](crate::RpcClient) inherit the deadline and the trace by themselves.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The headers of the call; for one of a batch, those of the batch and its own trace.
    pub headers: Arc<HeaderMap>,
}

impl CallContext {
    /// What the handler of a call sees.
    pub(crate) fn of(call: &Call) -> Self {
        Self { deadline: call.deadline, headers: Arc::clone(&call.headers) }
    }

    /// The context of the call that this task serves; nothing outside a handler.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The id that the caller gave itself.
    pub fn client_id(&self) -> Option<usize> {
        self.headers.get(&CLIENT_ID)?.to_str().ok()?.parse().ok()
    }

    /// Runs `future` as the handler of this call.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Lets an outgoing call inherit what it has not set itself: the earlier deadline and the trace.
    pub(crate) fn inherit(call: &mut Call) {
        // Outside a handler there is nothing to inherit.
        let _outside_a_handler = CURRENT.try_with(|context| {
            call.deadline = earlier(call.deadline, context.deadline);
            if let Some(trace) = context.headers.get(&TRACEPARENT)
                && !call.headers.contains_key(&TRACEPARENT)
            {
                call.set_header(TRACEPARENT.clone(), trace.clone());
            }
        });
    }
}

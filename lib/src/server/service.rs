//! What HTTP and JSON-RPC have in common: calls within the limits, and the documents.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use traitwire_schema::MethodDescriptor;

use super::access::Access;
use super::body::Bodies;
use super::budget::{Budget, Held};
use super::connections::Connections;
use super::documents::Documents;
use super::handler::Handler;
use super::health::HealthChecks;
use super::limits::Limits;
use super::positions::Positions;
use crate::call::{Call, deadline_after};
use crate::error::{RpcError, RpcResult};
use crate::layer::Layer;
use crate::log::Excerpt;
use crate::rpc::Server;

/// What answers requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Service {
    shared: Arc<Shared>,
}

/// What `GET` gives beside the documents, by path.
pub(super) type Pages = HashMap<String, Box<dyn Fn() -> Vec<u8> + Send + Sync>>;

struct Shared {
    handler: Handler,
    limits: Limits,
    calls: Arc<Semaphore>,
    peer_calls: Arc<Semaphore>,
    bodies: Bodies,
    peer_bodies: Bodies,
    replies: Arc<Budget>,
    long_turns: Arc<Semaphore>,
    /// How many requests have come.
    requests: AtomicU64,
    since: Instant,
    /// When the last large reply was made, in milliseconds after `since`, rounded up; 0 if there was none.
    large_reply_ms: AtomicU64,
    connections: Arc<Connections>,
    access: Access,
    reserved: Vec<String>,
    stops: AtomicBool,
    stopped: Notify,
    documents: Documents,
    positions: Positions,
    pages: Pages,
    health: HealthChecks,
}

/// What a server is made of.
pub(super) struct Parts {
    pub(super) server: Arc<dyn Server>,
    pub(super) layers: Vec<Arc<dyn Layer>>,
    pub(super) limits: Limits,
    pub(super) pages: Pages,
    pub(super) health: HealthChecks,
    pub(super) access: Access,
    /// The prefixes of the methods that are for peers.
    pub(super) reserved: Vec<String>,
}

/// A semaphore takes no more permits than this.
const PERMITS_MAX: usize = u32::MAX as usize >> 3;

/// How many batches that have done much already go on at the same time: they leave a core to what is quick.
fn long_turns() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// For how long after a large reply others are expected.
const LARGE_REPLY_MEMORY: Duration = Duration::from_secs(1);

/// What a server that is stopping answers.
pub(super) fn stopping() -> RpcError {
    RpcError::unavailable("the server is stopping").not_executed()
}

impl Service {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { server, layers, mut limits, pages, health, access, reserved } = parts;
        limits.concurrent_calls = limits.concurrent_calls.min(PERMITS_MAX);
        limits.concurrent_peer_calls = limits.concurrent_peer_calls.min(PERMITS_MAX);
        let handler = Handler::new(server, layers);
        Self {
            shared: Arc::new(Shared {
                documents: Documents::new(&handler.services()),
                handler,
                calls: Arc::new(Semaphore::new(limits.concurrent_calls)),
                peer_calls: Arc::new(Semaphore::new(limits.concurrent_peer_calls)),
                bodies: Bodies::new(limits.bodies_bytes, limits.body_bytes),
                peer_bodies: Bodies::new(limits.peer_bodies_bytes, limits.body_bytes),
                replies: Budget::new(limits.replies_bytes),
                long_turns: Arc::new(Semaphore::new(long_turns())),
                requests: AtomicU64::new(0),
                since: Instant::now(),
                large_reply_ms: AtomicU64::new(0),
                connections: Connections::new(),
                access,
                reserved,
                stops: AtomicBool::new(false),
                stopped: Notify::new(),
                positions: Positions::default(),
                pages,
                health,
                limits,
            }),
        }
    }

    /// What `GET` gives at this path, if anything.
    pub(super) fn page(&self, path: &str) -> Option<Vec<u8>> {
        self.shared.pages.get(path).map(|page| page())
    }

    /// The checks behind `/livez` and `/readyz`.
    pub(super) fn health(&self) -> &HealthChecks {
        &self.shared.health
    }

    /// What is known of a method.
    pub(super) fn method(&self, name: &str) -> Option<&'static MethodDescriptor> {
        self.shared.handler.method(name)
    }

    /// Whether a JSON null can be the message of this method: it has no named fields, or nothing is known of it.
    pub(super) fn takes_null(&self, method: Option<&'static MethodDescriptor>) -> bool {
        method.is_none_or(|method| self.shared.positions.of(method).is_none())
    }

    /// Whether a method is for peers.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        self.shared.reserved.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Waits for the turn of a batch that has done much already. It lasts until the permit is dropped, and no wait may be part of it.
    pub(super) async fn long_turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.shared.long_turns).acquire_owned().await.ok()
    }

    /// A request has come.
    pub(super) fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// A large reply was made.
    pub(super) fn note_large_reply(&self) {
        self.shared.large_reply_ms.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    /// Whether there was a large reply lately, so that the next ones may be large as well.
    pub(super) fn expects_large_replies(&self) -> bool {
        let last = self.shared.large_reply_ms.load(Ordering::Relaxed);
        last > 0 && u128::from(self.now_ms().saturating_sub(last)) < LARGE_REPLY_MEMORY.as_millis()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.shared.since.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }

    /// Where the bodies of requests count.
    pub(super) fn bodies(&self, of_peer: bool) -> &Bodies {
        if of_peer { &self.shared.peer_bodies } else { &self.shared.bodies }
    }

    /// Who may make requests.
    pub(super) fn access(&self) -> &Access {
        &self.shared.access
    }

    /// The open connections.
    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.shared.connections
    }

    /// Room for a reply, which its caller must read before others get it.
    pub(super) fn hold_reply(&self, bytes: usize) -> RpcResult<Held> {
        let Limits { reply_bytes, replies_bytes, .. } = self.limits();
        if bytes > *reply_bytes {
            return Err(reply_too_large(*reply_bytes));
        }
        self.shared.replies.take(bytes).ok_or_else(|| {
            self.shared.connections.close_most_stalled();
            let message =
                format!("the replies that nobody has read yet hold the limit of {replies_bytes} bytes");
            RpcError::resource_exhausted(message).maybe_executed()
        })
    }

    /// The same for what must be said in any case, and is small.
    pub(super) fn hold_reply_anyway(&self, bytes: usize) -> Held {
        self.shared.replies.take_anyway(bytes)
    }

    /// The bounds of this server.
    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Refuses calls from now on.
    pub(super) fn stop(&self) {
        self.shared.stops.store(true, Ordering::SeqCst);
        self.shared.stopped.notify_waiters();
    }

    /// Whether calls are refused.
    pub(super) fn stops(&self) -> bool {
        self.shared.stops.load(Ordering::SeqCst)
    }

    /// Waits until calls are refused.
    pub(super) async fn stopped(&self) {
        let stopped = self.shared.stopped.notified();
        if !self.stops() {
            stopped.await;
        }
    }

    /// Waits until no call is under way; none may begin meanwhile.
    pub(super) async fn calls_ended(&self) {
        let Limits { concurrent_calls, concurrent_peer_calls, .. } = self.shared.limits;
        let permits = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        // The semaphores are never closed.
        let _all = self.shared.calls.acquire_many(permits(concurrent_calls)).await;
        let _all_of_peers = self.shared.peer_calls.acquire_many(permits(concurrent_peer_calls)).await;
    }

    /// What this server shows of itself.
    pub(super) fn documents(&self) -> &Documents {
        &self.shared.documents
    }

    /// The OpenRPC document.
    pub(super) fn discover(&self) -> Bytes {
        self.documents().openrpc().clone()
    }

    /// Runs a call that is within the limits; `call.descriptor` is that of its method.
    pub(super) async fn call(&self, mut call: Call) -> RpcResult<Bytes> {
        let refuse = |error: RpcError| Err(error.about(call.descriptor));
        if call.method.starts_with('_') || call.method.starts_with("rpc.") {
            let name = Excerpt(&call.method);
            return refuse(RpcError::unimplemented(format!("`{name}` is a reserved name")));
        }
        if self.stops() {
            return refuse(stopping());
        }
        if let Some(method) = call.descriptor
            && call.deadline.is_none()
        {
            call.deadline = method.timeout_ms.and_then(|ms| deadline_after(Duration::from_millis(ms)));
        }
        let (calls, limit) = if self.is_reserved(&call.method) {
            (&self.shared.peer_calls, self.shared.limits.concurrent_peer_calls)
        } else {
            (&self.shared.calls, self.shared.limits.concurrent_calls)
        };
        match Arc::clone(calls).try_acquire_owned() {
            Ok(permit) => self.shared.handler.run(call, permit).await,
            // The shutdown waits for all permits.
            Err(_) if self.stops() => refuse(stopping()),
            Err(_) => refuse(RpcError::resource_exhausted(format!("{limit} calls are under way"))),
        }
    }

    /// Runs a call whose arguments came as a JSON array.
    pub(super) async fn call_by_position(&self, mut call: Call) -> RpcResult<Bytes> {
        if let Some(method) = call.descriptor {
            let by_name = self.shared.positions.by_name(method, &call.arguments);
            call.arguments = by_name.map_err(|error| error.about(Some(method)))?;
        }
        self.call(call).await
    }
}

/// What a call is told whose reply is more than one may be.
pub(super) fn reply_too_large(limit: usize) -> RpcError {
    // The call has run: only its reply is refused.
    RpcError::resource_exhausted(format!("a reply, or those of a batch, may have {limit} bytes"))
        .maybe_executed()
}

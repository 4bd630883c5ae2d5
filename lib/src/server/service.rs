//! What HTTP and JSON-RPC have in common: calls within the limits, and the documents.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::documents::Documents;
use super::handler::Handler;
use super::health::HealthChecks;
use super::limits::Limits;
use super::positions::Positions;
use crate::call::{Call, deadline_after};
use crate::error::{RpcError, RpcResult};
use crate::layer::Layer;
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
    bodies: Arc<Semaphore>,
    documents: OnceLock<RpcResult<Documents>>,
    positions: Positions,
    pages: Pages,
    health: HealthChecks,
}

/// Bytes of bodies are counted in units of this size.
const BODY_UNIT: usize = 1024;

impl Service {
    pub(super) fn new(
        server: Arc<dyn Server>,
        layers: Vec<Arc<dyn Layer>>,
        limits: Limits,
        pages: Pages,
        health: HealthChecks,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                handler: Handler::new(server, layers),
                calls: Arc::new(Semaphore::new(limits.concurrent_calls)),
                bodies: Arc::new(Semaphore::new(limits.bodies_bytes.div_ceil(BODY_UNIT))),
                documents: OnceLock::new(),
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

    /// Whether a generated service has this method.
    pub(super) fn has_method(&self, name: &str) -> bool {
        self.shared.handler.method(name).is_some()
    }

    /// Whether a JSON null can be the message of this method: it has no named fields, or nothing is known of it.
    pub(super) fn takes_null(&self, name: &str) -> bool {
        self.shared.handler.method(name).is_none_or(|method| self.shared.positions.of(method).is_none())
    }

    /// Room for so many bytes of a body, until the permit is dropped; nothing when all of it is taken.
    pub(super) fn hold_body(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(BODY_UNIT)).ok()?;
        Arc::clone(&self.shared.bodies).try_acquire_many_owned(units).ok()
    }

    /// The bounds of this server.
    pub(super) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Waits until no call is under way; none may begin meanwhile.
    pub(super) async fn calls_ended(&self) {
        let all = u32::try_from(self.shared.limits.concurrent_calls).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _all = self.shared.calls.acquire_many(all).await;
    }

    /// What this server shows of itself.
    pub(super) fn documents(&self) -> RpcResult<&Documents> {
        let make = || Documents::new(&self.shared.handler.services());
        self.shared.documents.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    /// The OpenRPC document.
    pub(super) fn discover(&self) -> RpcResult<Bytes> {
        self.documents().map(|documents| documents.openrpc().clone())
    }

    /// Runs a call that is within the limits.
    pub(super) async fn call(&self, mut call: Call) -> RpcResult<Bytes> {
        let handler = &self.shared.handler;
        call.descriptor = handler.method(&call.method);
        let refuse = |error: RpcError| Err(error.about(call.descriptor));
        if call.method.starts_with('_') || call.method.starts_with("rpc.") {
            return refuse(RpcError::unimplemented(format!("`{}` is a reserved name", call.method)));
        }
        if let Some(method) = call.descriptor
            && call.deadline.is_none()
        {
            call.deadline = method.timeout_ms.and_then(|ms| deadline_after(Duration::from_millis(ms)));
        }
        match Arc::clone(&self.shared.calls).try_acquire_owned() {
            Ok(permit) => handler.run(call, permit).await,
            Err(_) => {
                let limit = self.shared.limits.concurrent_calls;
                refuse(RpcError::resource_exhausted(format!("{limit} calls are under way")))
            }
        }
    }

    /// Runs a call whose arguments came as a JSON array.
    pub(super) async fn call_by_position(&self, mut call: Call) -> RpcResult<Bytes> {
        if let Some(method) = self.shared.handler.method(&call.method) {
            let by_name = self.shared.positions.by_name(method, &call.arguments);
            call.arguments = by_name.map_err(|error| error.about(Some(method)))?;
        }
        self.call(call).await
    }
}

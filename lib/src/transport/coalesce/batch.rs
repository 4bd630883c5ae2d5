//! What the calls of one exchange have in common, and how they and their replies look on the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Queued, ReplySender};
use crate::call::{Call, TRACEPARENT};
use crate::error::RpcError;
use crate::jsonrpc::{self, Reply};

/// Whether two calls may share the headers of one exchange; what differs by nature travels with each call.
pub(super) fn goes_with(first: &Call, next: &Call) -> bool {
    if Arc::ptr_eq(&first.headers, &next.headers) {
        return true;
    }
    let without_trace = |call: &Call| {
        let mut headers = (*call.headers).clone();
        headers.remove(&TRACEPARENT);
        headers
    };
    without_trace(first) == without_trace(next)
}

/// What a request has besides its method and arguments, at most.
const REQUEST_OVERHEAD_BYTES: usize = 128;

/// The calls as a JSON-RPC batch, each with its place as its id.
pub(super) fn encode(batch: &[Queued], deadline: Option<Instant>) -> Bytes {
    let bytes =
        |Queued { call, .. }: &Queued| call.method.len() + call.arguments.len() + REQUEST_OVERHEAD_BYTES;
    let mut out = Vec::with_capacity(batch.iter().map(bytes).sum());
    let now = Instant::now();
    out.push(b'[');
    for (id, Queued { call, .. }) in batch.iter().enumerate() {
        if id > 0 {
            out.push(b',');
        }
        // The exchange carries the latest deadline of all; only a call that is clearly earlier says so itself.
        let own_ms = call
            .deadline
            .filter(|own| deadline.is_none_or(|all| all.saturating_duration_since(*own) > DEADLINE_SLACK))
            .map(|own| u64::try_from(own.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX));
        let trace = call.headers.get(&TRACEPARENT).and_then(|trace| trace.to_str().ok());
        jsonrpc::write_request(&mut out, id, &call.method, &call.arguments, own_ms, trace);
    }
    out.push(b']');
    out.into()
}

/// By how much a call's deadline must be earlier than its batch's to be worth its bytes.
const DEADLINE_SLACK: Duration = Duration::from_millis(5);

/// Gives one reply to the call it belongs to. The server says with a reply that has no id that it refuses the batch.
pub(super) fn deliver(object: &Bytes, waiting: &mut [Option<ReplySender>]) -> Result<(), RpcError> {
    let reply: Reply<'_> = serde_json::from_slice(object)
        .map_err(|error| RpcError::internal(format!("the server's reply is no JSON-RPC: {error}")))?;
    let result = match (reply.result, reply.error) {
        (Some(result), None) => Ok(object.slice_ref(result.get().as_bytes())),
        (_, Some(error)) => Err(error.into_rpc_error()),
        (None, None) => Err(RpcError::internal("the server's reply has neither result nor error")),
    };
    let Some(id) = reply.id else { return result.map(|_| ()) };
    let slot = usize::try_from(id).ok().and_then(|id| waiting.get_mut(id)).and_then(Option::take);
    if let Some(slot) = slot {
        let _left = slot.send(result);
    }
    Ok(())
}

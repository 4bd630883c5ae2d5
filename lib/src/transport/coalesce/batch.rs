//! What the calls of one exchange have in common, and how they and their replies look on the wire.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use tokio::time::Instant;

use super::{Queued, ReplySender};
use crate::call::{Call, TRACEPARENT};
use crate::error::RpcError;
use crate::jsonrpc::{self, Reply};

/// Whether two calls may share the headers of one exchange. Their traces may differ, since each call carries its own.
pub(super) fn goes_with(first: &Call, next: &Call) -> bool {
    if Arc::ptr_eq(&first.headers, &next.headers) {
        return true;
    }
    let apart = carries_trace(first) && carries_trace(next);
    let is_shared = |name: &&HeaderName| !(apart && **name == TRACEPARENT);
    let names = |call: &Call| call.headers.keys().filter(is_shared).count();
    let is_same =
        |name: &HeaderName| first.headers.get_all(name).iter().eq(next.headers.get_all(name).iter());
    names(first) == names(next) && first.headers.keys().filter(is_shared).all(is_same)
}

/// The headers of an exchange that begins with this call, without what each call carries itself.
pub(super) fn shared_headers(first: &Call) -> Arc<HeaderMap> {
    let mut headers = Arc::clone(&first.headers);
    if carries_trace(first) && headers.contains_key(&TRACEPARENT) {
        Arc::make_mut(&mut headers).remove(&TRACEPARENT);
    }
    headers
}

/// The latest of all deadlines: no call ends earlier because of the others. None where a call has none.
pub(super) fn latest_deadline(batch: &[Queued]) -> Option<Instant> {
    batch.iter().map(|queued| queued.call.deadline).reduce(|a, b| Some(a?.max(b?))).flatten()
}

/// Whether what the call has of a trace, if anything, fits into its own request: one value that is text.
fn carries_trace(call: &Call) -> bool {
    let mut values = call.headers.get_all(&TRACEPARENT).iter();
    values.next().is_none_or(|trace| trace.to_str().is_ok()) && values.next().is_none()
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
        let trace = call.headers.get(&TRACEPARENT).filter(|_| carries_trace(call));
        let trace = trace.and_then(|trace| trace.to_str().ok());
        jsonrpc::write_request(&mut out, id, &call.method, &call.arguments, own_ms, trace);
    }
    out.push(b']');
    out.into()
}

/// By how much a call's deadline must be earlier than its batch's to be worth its bytes.
const DEADLINE_SLACK: Duration = Duration::from_millis(5);

/// The calls of an exchange that wait for their replies, by their ids.
pub(super) struct Waiting {
    replies: Vec<Option<ReplySender>>,
    /// All before this have been answered, or their callers have left.
    begin: usize,
    /// How many of those have not been answered.
    left: usize,
}

impl Waiting {
    pub(super) fn new(batch: Vec<Queued>) -> Self {
        Self { replies: batch.into_iter().map(|queued| Some(queued.reply)).collect(), begin: 0, left: 0 }
    }

    /// Runs `future` while anybody waits for a reply; nothing when all callers have left before it ends.
    pub(super) async fn unless_all_leave<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.all_leave() => None,
        }
    }

    /// Waits until a call has no reply and no caller any more, and all others have either been answered or left too.
    /// Watches one caller at a time: all of them would cost each call more than the rest of its exchange.
    async fn all_leave(&mut self) {
        while let Some(slot) = self.replies.get_mut(self.begin) {
            if let Some(reply) = slot {
                reply.closed().await;
                self.left += 1;
            }
            self.begin += 1;
        }
        // The rest of the body of an exchange whose calls have all been answered is read, so that its connection can be used
        // again.
        if self.left == 0 {
            std::future::pending::<()>().await;
        }
    }

    /// Gives one reply to the call it belongs to. A reply without an id refuses the whole batch.
    pub(super) fn deliver(&mut self, object: &Bytes) -> Result<(), RpcError> {
        let reply: Reply<'_> = serde_json::from_slice(object).map_err(|error| {
            RpcError::internal(format!("the server's reply is not valid JSON-RPC: {error}"))
        })?;
        let result = match (reply.result, reply.error) {
            (Some(result), None) => Ok(object.slice_ref(result.get().as_bytes())),
            (_, Some(error)) => Err(error.into_rpc_error()),
            (None, None) => Err(RpcError::internal("the server's reply has neither a result nor an error")),
        };
        let Some(id) = reply.id else { return result.map(|_| ()) };
        let id = usize::try_from(id).unwrap_or(usize::MAX);
        if let Some(slot) = self.replies.get_mut(id).and_then(Option::take) {
            self.left -= usize::from(id < self.begin);
            let _left = slot.send(result);
        }
        Ok(())
    }

    /// Fails all calls that have no reply yet.
    pub(super) fn fail(self, error: &RpcError) {
        for reply in self.replies.into_iter().flatten() {
            let _left = reply.send(Err(error.clone()));
        }
    }
}

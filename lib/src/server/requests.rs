//! What a body sent to `/` asks for: JSON-RPC requests, and the calls they start.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::Instant;
use traitwire_schema::MethodDescriptor;

use super::replies::Reply;
use super::service::Service;
use crate::call::{Call, TRACEPARENT, deadline_after, earlier};
use crate::error::{Code, RpcError, RpcResult};
use crate::jsonrpc::{self, Arguments, ErrorObject, Request};
use crate::log::brief;

/// The method that gives the OpenRPC document (OpenRPC specification, "Service Discovery Method").
const DISCOVER: &str = "rpc.discover";

/// What all calls of one HTTP request share.
#[derive(Clone)]
pub(super) struct Envelope {
    pub(super) headers: Arc<HeaderMap>,
    pub(super) deadline: Option<Instant>,
    /// Whether a peer has sent them, so that they count as a peer's.
    pub(super) of_peer: bool,
}

/// The elements of a batch, which are looked at one by one.
pub(super) fn items(body: &Bytes, items_max: usize) -> Result<Vec<&RawValue>, ErrorObject> {
    let items = items_up_to(body, items_max).map_err(malformed)?.ok_or_else(|| {
        ErrorObject::of(RpcError::resource_exhausted(format!("a batch may hold {items_max} calls")))
    })?;
    if items.is_empty() {
        return Err(refusal(jsonrpc::INVALID_REQUEST, "an empty batch"));
    }
    Ok(items)
}

/// The elements of a JSON array; nothing when there are more. Those beyond are read and dropped: a few bytes each, they
/// would take far more room than the body.
fn items_up_to(body: &[u8], items_max: usize) -> serde_json::Result<Option<Vec<&RawValue>>> {
    struct Items(usize);
    impl<'de> Visitor<'de> for Items {
        type Value = Option<Vec<&'de RawValue>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while items.len() < self.0 {
                let Some(item) = elements.next_element()? else { return Ok(Some(items)) };
                items.push(item);
            }
            let mut is_over = false;
            while elements.next_element::<IgnoredAny>()?.is_some() {
                is_over = true;
            }
            Ok((!is_over).then_some(items))
        }
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let items = json.deserialize_seq(Items(items_max))?;
    json.end()?;
    Ok(items)
}

/// A call under way.
pub(super) struct Running {
    pub(super) id: Option<Box<str>>,
    pub(super) method: Option<&'static MethodDescriptor>,
    pub(super) call: BoxFuture<'static, RpcResult<Bytes>>,
}

impl Future for Running {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let result = ready!(self.call.as_mut().poll(context));
        Poll::Ready(Reply { id: self.id.take(), method: self.method, result })
    }
}

/// Starts the call that a request asks for, unless there is no room for its reply.
pub(super) fn start(
    service: &Service,
    body: &Bytes,
    item: &RawValue,
    envelope: &Envelope,
    full: Option<&RpcError>,
) -> Result<Running, ErrorObject> {
    let request = request(item, service.limits().id_bytes)?;
    let id: Option<Box<str>> = request.id.map(|id| id.get().into());
    let method = service.method(&request.method);
    let answered = |id, result| Ok(Running { id, method, call: Box::pin(std::future::ready(result)) });
    if let Some(error) = full {
        return answered(id, Err(error.clone().not_executed().about(method)));
    }
    if request.method == DISCOVER {
        return answered(id, Ok(service.discover()));
    }
    if envelope.of_peer && !service.is_reserved(&request.method) {
        let message = "a request of a peer may call only methods that are for peers".to_owned();
        return answered(id, Err(RpcError::new(Code::PermissionDenied, message).not_executed()));
    }
    let arguments = match request.arguments() {
        Ok(arguments) => arguments,
        Err(message) => return answered(id, Err(RpcError::invalid_argument(message).about(method))),
    };
    let own_deadline = request.timeout_ms.and_then(|ms| deadline_after(Duration::from_millis(ms)));
    let by_position = matches!(arguments, Arguments::ByPosition(_));
    let mut call = Call {
        arguments: match arguments {
            Arguments::Message(params) | Arguments::ByPosition(params) => {
                body.slice_ref(params.get().as_bytes())
            }
            Arguments::Null if service.takes_null(method) => Bytes::from_static(b"null"),
            Arguments::Null | Arguments::None => Bytes::from_static(b"{}"),
        },
        descriptor: method,
        method: Cow::Owned(request.method.into_owned()),
        deadline: earlier(envelope.deadline, own_deadline),
        headers: Arc::clone(&envelope.headers),
    };
    if let Some(trace) = request.traceparent.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        call.set_header(TRACEPARENT.clone(), trace);
    }
    let service = service.clone();
    let call = Box::pin(async move {
        if by_position { service.call_by_position(call).await } else { service.call(call).await }
    });
    Ok(Running { id, method, call })
}

fn request(item: &RawValue, id_bytes: usize) -> Result<Request<'_>, ErrorObject> {
    let invalid = |message: &str| refusal(jsonrpc::INVALID_REQUEST, message);
    // serde would take an array of the fields in their order for the object.
    if !item.get().starts_with('{') {
        return Err(invalid("a JSON-RPC request is an object"));
    }
    let request: Request<'_> = serde_json::from_str(item.get())
        .map_err(|error| invalid(&format!("not a JSON-RPC request: {}", brief(error))))?;
    if request.jsonrpc != "2.0" {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    if request.id.is_some_and(|id| id.get().len() > id_bytes) {
        return Err(invalid(&format!("`id` must have at most {id_bytes} bytes")));
    }
    if request.id.is_some_and(|id| !matches!(id.get().as_bytes()[0], b'"' | b'0'..=b'9' | b'-' | b'n')) {
        return Err(invalid("`id` must be a string, a number or null"));
    }
    Ok(request)
}

pub(super) fn malformed(error: serde_json::Error) -> ErrorObject {
    refusal(jsonrpc::PARSE_ERROR, &format!("malformed JSON: {}", brief(error)))
}

fn refusal(code: i32, message: &str) -> ErrorObject {
    ErrorObject { code, message: message.to_owned(), data: Some(RpcError::invalid_argument(message)) }
}

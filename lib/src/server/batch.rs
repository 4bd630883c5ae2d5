//! JSON-RPC 2.0 at `POST /`: one request, or a batch whose replies are streamed as each call ends.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;

use super::service::Service;
use crate::call::{Call, TRACEPARENT};
use crate::error::{RpcError, RpcResult};
use crate::jsonrpc::{self, ErrorObject, Request};

/// The method that gives the OpenRPC document (OpenRPC specification, "Service Discovery Method").
const DISCOVER: &str = "rpc.discover";

/// What all calls of one HTTP request share.
pub(super) struct Envelope {
    pub(super) headers: Arc<HeaderMap>,
    pub(super) deadline: Option<Instant>,
}

/// What answers a body sent to `/`.
pub(super) enum Answer {
    /// Only notifications came: there is nothing to say.
    Nothing,
    /// All of it.
    Whole(Vec<u8>),
    /// Replies as they come.
    Streamed(Body),
}

pub(super) async fn answer(service: &Service, body: Bytes, envelope: Envelope) -> Answer {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => batch(service, &body, &envelope).await,
        _ => single(service, &body, &envelope).await,
    }
}

async fn single(service: &Service, body: &Bytes, envelope: &Envelope) -> Answer {
    let mut out = Vec::with_capacity(128);
    let item = match serde_json::from_slice::<&RawValue>(body) {
        Ok(item) => item,
        Err(error) => {
            write_refusal(&mut out, jsonrpc::PARSE_ERROR, format!("malformed JSON: {error}"));
            return Answer::Whole(out);
        }
    };
    match start(service, body, item, envelope) {
        Started::Refused(error) => jsonrpc::write_error(&mut out, "null", &error),
        Started::Running(running) => write_reply(&mut out, running.await),
    }
    if out.is_empty() { Answer::Nothing } else { Answer::Whole(out) }
}

async fn batch(service: &Service, body: &Bytes, envelope: &Envelope) -> Answer {
    let mut out = Vec::new();
    let items = match serde_json::from_slice::<Vec<&RawValue>>(body) {
        Err(error) => Err((jsonrpc::PARSE_ERROR, format!("malformed JSON: {error}"))),
        Ok(items) if items.is_empty() => Err((jsonrpc::INVALID_REQUEST, "an empty batch".to_owned())),
        Ok(items) if items.len() > service.limits().batch_items => {
            let limit = service.limits().batch_items;
            let error = RpcError::resource_exhausted(format!("a batch may hold {limit} calls"));
            jsonrpc::write_error(&mut out, "null", &ErrorObject::of(error));
            return Answer::Whole(out);
        }
        Ok(items) => Ok(items),
    };
    let items = match items {
        Ok(items) => items,
        Err((code, message)) => {
            write_refusal(&mut out, code, message);
            return Answer::Whole(out);
        }
    };
    let mut replies = Replies { out: vec![b'['], running: FuturesUnordered::new(), finished: false };
    for item in items {
        match start(service, body, item, envelope) {
            Started::Refused(error) => {
                replies.separate();
                jsonrpc::write_error(&mut replies.out, "null", &error);
            }
            Started::Running(mut running) => {
                // Most calls end in their first step; only the others are kept and waited for.
                let first = std::future::poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
                match first {
                    Poll::Ready(reply) => replies.write(reply),
                    Poll::Pending => replies.running.push(running),
                }
            }
        }
    }
    if !replies.running.is_empty() {
        return Answer::Streamed(Body::from_stream(replies));
    }
    if replies.out.len() == 1 {
        return Answer::Nothing;
    }
    replies.out.push(b']');
    Answer::Whole(replies.out)
}

/// The id to answer under, none for a notification, and what came of the call.
type Reply = (Option<Box<str>>, RpcResult<Bytes>);
type Running = Pin<Box<dyn Future<Output = Reply> + Send>>;

enum Started {
    Refused(ErrorObject),
    Running(Running),
}

fn start(service: &Service, body: &Bytes, item: &RawValue, envelope: &Envelope) -> Started {
    // serde would take an array of the fields in their order for the object.
    if !item.get().starts_with('{') {
        return Started::Refused(invalid_request("a JSON-RPC request is an object".to_owned()));
    }
    let request: Request<'_> = match serde_json::from_str(item.get()) {
        Ok(request) => request,
        Err(error) => return Started::Refused(invalid_request(format!("no JSON-RPC request: {error}"))),
    };
    if request.jsonrpc != "2.0" {
        return Started::Refused(invalid_request("`jsonrpc` must be \"2.0\"".to_owned()));
    }
    if request.id.is_some_and(|id| !matches!(id.get().as_bytes()[0], b'"' | b'0'..=b'9' | b'-' | b'n')) {
        return Started::Refused(invalid_request("`id` must be a string, a number or null".to_owned()));
    }
    let id: Option<Box<str>> = request.id.map(|id| id.get().into());
    if request.method == DISCOVER {
        let document = service.discover();
        return Started::Running(Box::pin(std::future::ready((id, document))));
    }
    let method: Cow<'static, str> = Cow::Owned(request.method.into_owned());
    let arguments = match request.params {
        None => Bytes::from_static(b"{}"),
        Some(params) => body.slice_ref(params.get().as_bytes()),
    };
    let by_position = arguments.first() == Some(&b'[');
    let mut call = Call {
        descriptor: None,
        method,
        arguments,
        deadline: deadline(envelope.deadline, request.timeout_ms),
        headers: Arc::clone(&envelope.headers),
    };
    if let Some(trace) = request.traceparent.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        call.set_header(TRACEPARENT.clone(), trace);
    }
    let service = service.clone();
    Started::Running(Box::pin(async move {
        let result =
            if by_position { service.call_by_position(call).await } else { service.call(call).await };
        (id, result)
    }))
}

fn deadline(shared: Option<Instant>, own_ms: Option<u64>) -> Option<Instant> {
    let own = own_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
    match (shared, own) {
        (Some(shared), Some(own)) => Some(shared.min(own)),
        (shared, own) => shared.or(own),
    }
}

fn invalid_request(message: String) -> ErrorObject {
    let data = RpcError::invalid_argument(message.as_str());
    ErrorObject { code: jsonrpc::INVALID_REQUEST, message, data: Some(data) }
}

fn write_refusal(out: &mut Vec<u8>, code: i32, message: String) {
    let data = RpcError::invalid_argument(message.as_str());
    jsonrpc::write_error(out, "null", &ErrorObject { code, message, data: Some(data) });
}

fn write_reply(out: &mut Vec<u8>, (id, result): Reply) {
    // A notification has no reply, whatever came of it.
    let Some(id) = id else { return };
    match result {
        Ok(result) => jsonrpc::write_result(out, &id, &result),
        Err(error) => jsonrpc::write_error(out, &id, &ErrorObject::of(error)),
    }
}

/// The replies of a batch, as a stream of pieces of one JSON array.
struct Replies {
    out: Vec<u8>,
    running: FuturesUnordered<Running>,
    finished: bool,
}

impl Replies {
    fn write(&mut self, reply: Reply) {
        if reply.0.is_some() {
            self.separate();
        }
        write_reply(&mut self.out, reply);
    }

    /// A comma before every element but the first.
    fn separate(&mut self) {
        // Whatever was sent before ended with an element, so only the opening bracket stands without one.
        if self.out.last() != Some(&b'[') {
            self.out.push(b',');
        }
    }
}

impl Stream for Replies {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.finished {
            return Poll::Ready(None);
        }
        // All that have ended by now go in one piece.
        loop {
            match Pin::new(&mut self.running).poll_next(context) {
                Poll::Ready(Some(reply)) => self.write(reply),
                Poll::Ready(None) => {
                    self.finished = true;
                    self.out.push(b']');
                    break;
                }
                Poll::Pending if self.out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Bytes::from(std::mem::take(&mut self.out)))))
    }
}

//! JSON-RPC 2.0 at `POST /`: one request, or a batch whose replies are streamed as each call ends.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::service::Service;
use crate::call::{Call, TRACEPARENT, deadline_after, earlier};
use crate::error::{RpcError, RpcResult};
use crate::jsonrpc::{self, Arguments, ErrorObject, Request, is_array};

/// The method that gives the OpenRPC document (OpenRPC specification, "Service Discovery Method").
const DISCOVER: &str = "rpc.discover";

/// How long the head of a streamed response waits for the first reply: whoever watches for heads sees one soon even
/// where all calls of a batch are slow.
const HEAD_WAIT_MAX: Duration = Duration::from_millis(5);

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
    let answer = if is_array(&body) {
        batch(service, &body, &envelope).await
    } else {
        single(service, &body, &envelope).await
    };
    answer.unwrap_or_else(|error| {
        let mut out = Vec::new();
        jsonrpc::write_error(&mut out, "null", &error);
        Answer::Whole(out)
    })
}

async fn single(service: &Service, body: &Bytes, envelope: &Envelope) -> Result<Answer, ErrorObject> {
    let item = serde_json::from_slice::<&RawValue>(body).map_err(malformed)?;
    let mut out = Vec::with_capacity(128);
    write_reply(&mut out, start(service, body, item, envelope)?.running.await);
    Ok(if out.is_empty() { Answer::Nothing } else { Answer::Whole(out) })
}

async fn batch(service: &Service, body: &Bytes, envelope: &Envelope) -> Result<Answer, ErrorObject> {
    let mut replies = Replies { out: vec![b'['], has_any: false, running: FuturesUnordered::new() };
    let mut owes_reply = false;
    for item in items(body, service.limits().batch_items)? {
        match start(service, body, item, envelope) {
            Err(error) => {
                owes_reply = true;
                replies.separate();
                jsonrpc::write_error(&mut replies.out, "null", &error);
            }
            Ok(Started { is_notification, mut running }) => {
                owes_reply |= !is_notification;
                // Most calls end in their first step; only the others are kept and waited for.
                match first_step(&mut running).await {
                    Poll::Ready(reply) => replies.write(reply),
                    Poll::Pending => replies.running.push(running),
                }
            }
        }
    }
    if !owes_reply {
        // As for a notification that comes alone, the response says that all have ended.
        while replies.running.next().await.is_some() {}
        return Ok(Answer::Nothing);
    }
    // The head of the response goes with the first replies: alone it would be one more packet, which says nothing.
    if !replies.has_any
        && let Ok(Some(reply)) = timeout(HEAD_WAIT_MAX, replies.running.next()).await
    {
        replies.write(reply);
    }
    replies.write_ended();
    if replies.running.is_empty() {
        replies.out.push(b']');
        return Ok(Answer::Whole(replies.out));
    }
    let (pieces, mut coming) = mpsc::unbounded_channel();
    tokio::spawn(replies.go_on(pieces));
    let pieces =
        stream::poll_fn(move |context| coming.poll_recv(context).map(|piece| piece.map(Ok::<_, Infallible>)));
    Ok(Answer::Streamed(Body::from_stream(pieces)))
}

/// The elements of a batch, which are looked at one by one.
fn items(body: &Bytes, items_max: usize) -> Result<Vec<&RawValue>, ErrorObject> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(malformed)?;
    if items.is_empty() {
        return Err(refusal(jsonrpc::INVALID_REQUEST, "an empty batch"));
    }
    if items.len() > items_max {
        return Err(ErrorObject::of(RpcError::resource_exhausted(format!(
            "a batch may hold {items_max} calls"
        ))));
    }
    Ok(items)
}

/// Runs `future` for as long as it need not wait.
async fn first_step<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// The id to answer under, none for a notification, and what came of the call.
type Reply = (Option<Box<str>>, RpcResult<Bytes>);
type Running = BoxFuture<'static, Reply>;

struct Started {
    is_notification: bool,
    running: Running,
}

fn start(
    service: &Service,
    body: &Bytes,
    item: &RawValue,
    envelope: &Envelope,
) -> Result<Started, ErrorObject> {
    let request = request(item)?;
    let id: Option<Box<str>> = request.id.map(|id| id.get().into());
    let is_notification = id.is_none();
    if request.method == DISCOVER {
        let document = service.discover();
        return Ok(Started { is_notification, running: Box::pin(std::future::ready((id, document))) });
    }
    let arguments = match request.arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            let refused = (id, Err(RpcError::invalid_argument(message)));
            return Ok(Started { is_notification, running: Box::pin(std::future::ready(refused)) });
        }
    };
    let own_deadline = request.timeout_ms.and_then(|ms| deadline_after(Duration::from_millis(ms)));
    let by_position = matches!(arguments, Arguments::ByPosition(_));
    let method = Cow::Owned(request.method.into_owned());
    let mut call = Call {
        arguments: match arguments {
            Arguments::Message(params) | Arguments::ByPosition(params) => {
                body.slice_ref(params.get().as_bytes())
            }
            Arguments::Null if service.takes_null(&method) => Bytes::from_static(b"null"),
            Arguments::Null | Arguments::None => Bytes::from_static(b"{}"),
        },
        descriptor: None,
        method,
        deadline: earlier(envelope.deadline, own_deadline),
        headers: Arc::clone(&envelope.headers),
    };
    if let Some(trace) = request.traceparent.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
        call.set_header(TRACEPARENT.clone(), trace);
    }
    let service = service.clone();
    let running = Box::pin(async move {
        let result =
            if by_position { service.call_by_position(call).await } else { service.call(call).await };
        (id, result)
    });
    Ok(Started { is_notification, running })
}

fn request(item: &RawValue) -> Result<Request<'_>, ErrorObject> {
    let invalid = |message: &str| refusal(jsonrpc::INVALID_REQUEST, message);
    // serde would take an array of the fields in their order for the object.
    if !item.get().starts_with('{') {
        return Err(invalid("a JSON-RPC request is an object"));
    }
    let request: Request<'_> = serde_json::from_str(item.get())
        .map_err(|error| invalid(&format!("no JSON-RPC request: {error}")))?;
    if request.jsonrpc != "2.0" {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    if request.id.is_some_and(|id| !matches!(id.get().as_bytes()[0], b'"' | b'0'..=b'9' | b'-' | b'n')) {
        return Err(invalid("`id` must be a string, a number or null"));
    }
    Ok(request)
}

fn malformed(error: serde_json::Error) -> ErrorObject {
    refusal(jsonrpc::PARSE_ERROR, &format!("malformed JSON: {error}"))
}

fn refusal(code: i32, message: &str) -> ErrorObject {
    ErrorObject { code, message: message.to_owned(), data: Some(RpcError::invalid_argument(message)) }
}

fn write_reply(out: &mut Vec<u8>, (id, result): Reply) {
    // A notification has no reply, whatever came of it.
    let Some(id) = id else { return };
    match result {
        Ok(result) => jsonrpc::write_result(out, &id, &result),
        Err(error) => jsonrpc::write_error(out, &id, &ErrorObject::of(error)),
    }
}

/// The replies of a batch, as pieces of one JSON array.
struct Replies {
    out: Vec<u8>,
    /// Whether there has been a reply.
    has_any: bool,
    running: FuturesUnordered<Running>,
}

impl Replies {
    fn write(&mut self, reply: Reply) {
        if reply.0.is_some() {
            self.separate();
        }
        write_reply(&mut self.out, reply);
    }

    /// Gives the replies as they come, whether or not the caller reads them, until he has left or has all.
    ///
    /// The calls of a batch take turns in this one task: a task for each would cost more than most calls do.
    async fn go_on(mut self, pieces: mpsc::UnboundedSender<Bytes>) {
        loop {
            self.write_ended();
            let is_last = self.running.is_empty();
            if is_last {
                self.out.push(b']');
            }
            // At most one piece a call, and one before them.
            let left = !self.out.is_empty() && pieces.send(std::mem::take(&mut self.out).into()).is_err();
            if is_last || left {
                return;
            }
            tokio::select! {
                Some(reply) = self.running.next() => self.write(reply),
                () = pieces.closed() => return,
            }
        }
    }

    /// Writes the replies of all calls that have ended by now.
    fn write_ended(&mut self) {
        while let Some(Some(reply)) = self.running.next().now_or_never() {
            self.write(reply);
        }
    }

    /// A comma before every element but the first.
    fn separate(&mut self) {
        if std::mem::replace(&mut self.has_any, true) {
            self.out.push(b',');
        }
    }
}

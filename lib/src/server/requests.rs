//! What a body sent to `/` asks for: JSON-RPC requests, and the calls they start.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use tokio::time::Instant;
use traitwire_schema::MethodDescriptor;

use super::replies::Reply;
use super::service::Service;
use crate::call::{Call, TRACEPARENT, deadline_after, earlier};
use crate::error::{Code, RpcError, RpcResult};
use crate::jsonrpc::{self, Arguments, ErrorObject, ObjectRequest, Request};
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

/// Up to how many elements a batch may have to be read in one pass: each takes more memory than its text.
const QUICK_ITEMS_MAX: usize = 1_024;

/// The elements of a batch.
///
/// Nearly all batches hold nothing but requests, and reading these in one pass takes half the time. The elements of any other
/// batch are found first and read one by one, since each mistake is reported by itself.
pub(super) enum Items<'a> {
    Requests(std::vec::IntoIter<ObjectRequest<'a>>),
    Texts(std::vec::IntoIter<&'a RawValue>),
}

/// An element of a batch.
pub(super) enum Item<'a> {
    Request(Request<'a>),
    /// JSON that may not be a request.
    Text(&'a RawValue),
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Requests(requests) => requests.next().map(|ObjectRequest(request)| Item::Request(request)),
            Self::Texts(texts) => texts.next().map(Item::Text),
        }
    }
}

impl Items<'_> {
    /// How many elements are left.
    pub(super) fn left(&self) -> usize {
        match self {
            Self::Requests(requests) => requests.len(),
            Self::Texts(texts) => texts.len(),
        }
    }
}

impl Item<'_> {
    /// About how many bytes of JSON it has.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Request(request) => request.method.len() + request.params.map_or(0, |it| it.get().len()),
            Self::Text(text) => text.get().len(),
        }
    }
}

/// The elements of a batch.
pub(super) fn items(body: &Bytes, items_max: usize) -> Result<Items<'_>, ErrorObject> {
    let is_utf8 = std::str::from_utf8(body);
    let quick = is_utf8.ok().and_then(|text| elements(text, items_max.min(QUICK_ITEMS_MAX)).ok().flatten());
    let items = match quick {
        Some(requests) => Items::Requests(requests.into_iter()),
        None => Items::Texts(texts(body, items_max)?.into_iter()),
    };
    if items.left() == 0 {
        return Err(refusal(jsonrpc::INVALID_REQUEST, "an empty batch"));
    }
    Ok(items)
}

/// The texts of the elements of a batch.
pub(super) fn texts(body: &Bytes, items_max: usize) -> Result<Vec<&RawValue>, ErrorObject> {
    let text = std::str::from_utf8(body).map_err(malformed)?;
    elements(text, items_max).map_err(malformed)?.ok_or_else(|| {
        ErrorObject::of(RpcError::resource_exhausted(format!("a batch may hold {items_max} calls")))
    })
}

/// The elements of a JSON array; nothing when there are more. Those beyond are read and dropped: a few bytes each, they
/// would take far more room than the body.
fn elements<'a, T: Deserialize<'a>>(array: &'a str, items_max: usize) -> serde_json::Result<Option<Vec<T>>> {
    struct Elements<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Option<Vec<T>>;

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
    let mut json = serde_json::Deserializer::from_str(array);
    let items = json.deserialize_seq(Elements(items_max, PhantomData))?;
    json.end()?;
    Ok(items)
}

/// The only request of a body.
pub(super) fn only_item(body: &Bytes) -> Result<Item<'_>, ErrorObject> {
    let text = std::str::from_utf8(body).ok();
    match text.and_then(|text| serde_json::from_str(text).ok()) {
        Some(ObjectRequest(request)) => Ok(Item::Request(request)),
        None => serde_json::from_slice(body).map(Item::Text).map_err(malformed),
    }
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
    item: Item<'_>,
    envelope: &Envelope,
    full: Option<&RpcError>,
) -> Result<Running, ErrorObject> {
    let request = match item {
        Item::Request(request) => request,
        Item::Text(text) => parse(text)?,
    };
    check(&request, service.limits().id_bytes)?;
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

fn parse(item: &RawValue) -> Result<Request<'_>, ErrorObject> {
    if !item.get().starts_with('{') {
        return Err(invalid("a JSON-RPC request is an object"));
    }
    serde_json::from_str(item.get())
        .map_err(|error| invalid(&format!("not a JSON-RPC request: {}", brief(error))))
}

fn check(request: &Request<'_>, id_bytes: usize) -> Result<(), ErrorObject> {
    if request.jsonrpc != "2.0" {
        return Err(invalid("`jsonrpc` must be \"2.0\""));
    }
    let Some(id) = request.id.map(RawValue::get) else { return Ok(()) };
    if id.len() > id_bytes {
        return Err(invalid(&format!("`id` must have at most {id_bytes} bytes")));
    }
    match id.as_bytes()[0] {
        b'"' | b'0'..=b'9' | b'-' | b'n' => Ok(()),
        _ => Err(invalid("`id` must be a string, a number or null")),
    }
}

fn invalid(message: &str) -> ErrorObject {
    refusal(jsonrpc::INVALID_REQUEST, message)
}

fn malformed(error: impl fmt::Display) -> ErrorObject {
    refusal(jsonrpc::PARSE_ERROR, &format!("malformed JSON: {}", brief(error)))
}

fn refusal(code: i32, message: &str) -> ErrorObject {
    ErrorObject { code, message: message.to_owned(), data: Some(RpcError::invalid_argument(message)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = r#"{"jsonrpc":"2.0","method":"m","params":{"a":[1]},"id":1}"#;

    fn is_quick(body: &str) -> bool {
        matches!(items(&Bytes::copy_from_slice(body.as_bytes()), 4_096), Ok(Items::Requests(_)))
    }

    /// One element that is not a request leaves the others as they are, wherever it stands.
    #[test]
    fn batches_of_requests_are_read_in_one_pass_and_others_one_by_one() {
        assert!(is_quick(&format!("[{GOOD}]")) && is_quick(&format!(" [ {GOOD} ,{GOOD}]\n")));
        let bad = [
            "1",
            "null",
            r#"["2.0","m",{},1]"#,
            "{}",
            r#"{"jsonrpc":"2.0","method":1}"#,
            r#"{"jsonrpc":"2.0","method":"m","id":1,"id":2}"#,
        ];
        for bad in bad {
            for body in
                [format!("[{bad},{GOOD}]"), format!("[{GOOD},{bad}]"), format!("[{GOOD},{bad},{GOOD}]")]
            {
                assert!(!is_quick(&body), "{body}");
                let bytes = Bytes::from(body.clone());
                let parsed: Vec<_> = items(&bytes, 4_096)
                    .unwrap_or_else(|error| panic!("{body}: {}", error.message))
                    .map(|item| match item {
                        Item::Text(text) => parse(text).map(|request| request.method.into_owned()),
                        Item::Request(_) => panic!("{body}: it was read as a batch of requests"),
                    })
                    .collect();
                let expected = body.matches(GOOD).count();
                assert_eq!(
                    parsed.iter().filter(|parsed| parsed.as_deref().ok() == Some("m")).count(),
                    expected
                );
                assert_eq!(parsed.len(), expected + 1, "{body}");
            }
        }
    }

    #[test]
    fn long_batches_are_read_one_by_one() {
        let batch = |count: usize| format!("[{}]", vec![GOOD; count].join(","));
        assert!(is_quick(&batch(QUICK_ITEMS_MAX)) && !is_quick(&batch(QUICK_ITEMS_MAX + 1)));
        let (body, limit) = (Bytes::from(batch(9)), 8);
        assert!(items(&body, limit).is_err_and(|error| error.message.contains("8 calls")));
        assert_eq!(items(&body, 9).unwrap().left(), 9);
    }

    #[test]
    fn damaged_batches_are_refused() {
        for body in ["[", "[1,]", "[{}] x", "[{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", "[]"] {
            assert!(items(&Bytes::copy_from_slice(body.as_bytes()), 9).is_err(), "{body}");
        }
        let not_utf8 = Bytes::from_static(b"[{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"unknown\":\"\xff\"}]");
        assert!(items(&not_utf8, 9).is_err_and(|error| error.code == jsonrpc::PARSE_ERROR));
    }
}

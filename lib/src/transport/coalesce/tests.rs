//! What calls that are made at the same time share, and what each keeps for itself: a network that holds every request until
//! the test answers it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::CoalesceLimits;
use crate::call::{Call, TIMEOUT_MS, TRACEPARENT};
use crate::error::{RpcError, RpcResult};
use crate::transport::{BodyPieces, HttpTransport, Network, Transport};

/// Hands every request to the test.
struct Held(mpsc::UnboundedSender<Exchanged>);

/// A request that waits for its response.
struct Exchanged {
    path: String,
    headers: HeaderMap,
    body: Value,
    respond: oneshot::Sender<Response<BodyPieces>>,
}

#[async_trait]
impl Network for Held {
    async fn exchange(&self, request: Request<Bytes>) -> RpcResult<Response<BodyPieces>> {
        let (respond, response) = oneshot::channel();
        let (parts, body) = request.into_parts();
        let body = serde_json::from_slice(&body).unwrap();
        let path = parts.uri.path().to_owned();
        self.0.send(Exchanged { path, headers: parts.headers, body, respond }).unwrap();
        response.await.map_err(|_| RpcError::unavailable("the connection broke"))
    }
}

impl Exchanged {
    /// The calls of a batch, or the one call.
    fn calls(&self) -> Vec<Value> {
        self.body.as_array().filter(|_| self.path == "/").cloned().unwrap_or_else(|| vec![self.body.clone()])
    }

    /// The value under `key` in the arguments of each call.
    fn values(&self, key: &str) -> Vec<Value> {
        let of = |call: &Value| call.get("params").unwrap_or(call)[key].clone();
        self.calls().iter().map(of).collect()
    }

    /// Begins the response; the body goes through the sender.
    fn begin(self) -> mpsc::UnboundedSender<RpcResult<Bytes>> {
        let (pieces, coming) = mpsc::unbounded_channel();
        self.respond.send(Response::new(coming)).unwrap();
        pieces
    }

    /// Answers every call with its own number.
    fn answer(self) {
        let calls = self.calls();
        let is_batch = self.path == "/";
        let pieces = self.begin();
        let replies: Vec<Value> =
            calls.iter().map(|call| json!({"jsonrpc": "2.0", "id": call["id"], "result": true})).collect();
        let body = if is_batch { Value::from(replies).to_string() } else { "true".to_owned() };
        pieces.send(Ok(Bytes::from(body))).unwrap();
    }
}

/// A transport whose exchanges are all taken by calls that wait for the test, so that further calls queue.
struct Busy {
    transport: Arc<HttpTransport>,
    requests: mpsc::UnboundedReceiver<Exchanged>,
    /// The calls that keep the exchanges busy.
    first: Vec<Exchanged>,
}

impl Busy {
    async fn new() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let limits = CoalesceLimits { share: 1_024, ..CoalesceLimits::default() };
        let busy_exchanges = limits.unanswered + 1;
        let transport = Arc::new(HttpTransport::over(Arc::new(Held(sender)), limits));
        let mut busy = Self { transport, requests, first: Vec::new() };
        for _ in 0..busy_exchanges {
            busy.send(Call::new("busy", "{}"));
            let held = busy.next().await;
            busy.first.push(held);
        }
        busy
    }

    /// Sends a call, from a task of its own.
    fn send(&self, call: Call) -> JoinHandle<RpcResult<Bytes>> {
        let sent = {
            let transport = Arc::clone(&self.transport);
            async move { transport.send(call).await }
        };
        tokio::spawn(sent)
    }

    async fn next(&mut self) -> Exchanged {
        tokio::time::timeout(Duration::from_secs(60), self.requests.recv()).await.unwrap().unwrap()
    }
}

fn call_number(number: u64) -> Call {
    Call::new("count", json!({ "number": number }).to_string())
}

/// Calls whose headers differ in any way never share a request: a server would take one caller for another.
#[tokio::test(start_paused = true)]
async fn calls_with_different_headers_share_no_exchange() {
    let header = HeaderName::from_static;
    let kinds: Vec<Vec<(HeaderName, &str)>> = vec![
        vec![],
        vec![(header("authorization"), "Bearer a")],
        vec![(header("authorization"), "Bearer b")],
        vec![(header("authorization"), "Bearer a"), (header("x-tenant"), "1")],
        vec![(header("authorization"), "Bearer a"), (header("x-tenant"), "2")],
        vec![(header("x-tenant"), "Bearer a")],
        vec![(header("authorization"), "Bearer a"), (header("authorization"), "Bearer b")],
        vec![(header("authorization"), "Bearer b"), (header("authorization"), "Bearer a")],
    ];
    let mut busy = Busy::new().await;
    let mut sent = Vec::new();
    for number in 0..64_usize {
        let kind = number * 7 / 3 % kinds.len();
        let mut call = call_number(u64::try_from(kind).unwrap());
        let headers = Arc::make_mut(&mut call.headers);
        for (name, value) in &kinds[kind] {
            headers.append(name, HeaderValue::from_static(value));
        }
        sent.push(busy.send(call));
    }
    let mut arrived = 0;
    while arrived < sent.len() {
        let request = busy.next().await;
        for kind in request.values("number") {
            let kind = usize::try_from(kind.as_u64().unwrap()).unwrap();
            for name in ["authorization", "x-tenant"] {
                let own = kinds[kind].iter().filter(|(of, _)| of == name).map(|(_, value)| *value);
                assert!(request.headers.get_all(name).iter().eq(own), "{name} of a call of kind {kind}");
            }
            arrived += 1;
        }
        request.answer();
    }
    for call in sent {
        assert_eq!(call.await.unwrap().unwrap(), "true");
    }
}

/// Each call of an exchange keeps its own trace, and one without a trace gets nobody else's.
#[tokio::test(start_paused = true)]
async fn calls_that_share_an_exchange_keep_their_own_traces() {
    let mut busy = Busy::new().await;
    let traces = [Some("00-a-b-01"), None, Some("00-c-d-00"), None];
    for (number, trace) in (0..).zip(traces) {
        let mut call = call_number(number);
        if let Some(trace) = trace {
            call.set_header(TRACEPARENT.clone(), HeaderValue::from_static(trace));
        }
        busy.send(call);
        tokio::task::yield_now().await;
    }
    // A trace that is not text fits into no JSON: it goes as a header, alone.
    let mut odd = call_number(9);
    odd.set_header(TRACEPARENT.clone(), HeaderValue::from_bytes(b"00-\xff").unwrap());
    busy.send(odd.clone());
    let request = busy.next().await;
    assert_eq!(request.headers.get(&TRACEPARENT), None);
    let carried: Vec<_> =
        request.calls().iter().map(|call| call["traceparent"].as_str().map(str::to_owned)).collect();
    assert_eq!(carried, traces.map(|trace| trace.map(str::to_owned)));
    let request = busy.next().await;
    assert_eq!(request.headers.get(&TRACEPARENT), odd.headers.get(&TRACEPARENT));
}

/// The request carries the latest deadline of its calls, and each earlier one stands beside its call.
#[tokio::test(start_paused = true)]
async fn an_exchange_has_the_latest_deadline_and_each_call_its_own() {
    let mut busy = Busy::new().await;
    for all in
        [[Some(5_000), Some(60_000), Some(1_000), Some(60_000)], [Some(5_000), None, Some(1_000), None]]
    {
        let now = Instant::now();
        for (number, ms) in (0..).zip(all) {
            let mut call = call_number(number);
            call.deadline = ms.map(|ms| now + Duration::from_millis(ms));
            busy.send(call);
        }
        let request = busy.next().await;
        let passed = u64::try_from(now.elapsed().as_millis()).unwrap();
        let latest = all.iter().copied().reduce(|a, b| Some(a?.max(b?))).flatten();
        let header = request.headers.get(&TIMEOUT_MS).map(|ms| ms.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(header, latest.map(|ms: u64| ms - passed));
        assert_eq!(request.calls().len(), all.len());
        for (call, ms) in request.calls().iter().zip(all) {
            let own = ms.filter(|_| ms != latest).map(|ms| ms - passed);
            assert_eq!(call["timeout_ms"].as_u64(), own, "{call}");
        }
    }
}

/// A call whose caller leaves while it queues is not sent.
#[tokio::test(start_paused = true)]
async fn queued_calls_of_callers_that_have_left_are_not_sent() {
    let mut busy = Busy::new().await;
    let sent: Vec<_> = (0..32).map(|number| busy.send(call_number(number))).collect();
    tokio::task::yield_now().await;
    let (stay, leave): (Vec<_>, Vec<_>) = (0..).zip(sent).partition(|(number, _)| number % 4 == 1);
    for (_, call) in leave {
        call.abort();
    }
    let request = busy.next().await;
    let numbers: Vec<_> = stay.iter().map(|(number, _)| json!(number)).collect();
    assert_eq!(request.values("number"), numbers);
    request.answer();
    for (_, call) in stay {
        call.await.unwrap().unwrap();
    }
    busy.first.drain(..).for_each(Exchanged::answer);
    // Nor is a queue of which nobody is left.
    let sent: Vec<_> = (0..8).map(|number| busy.send(call_number(number))).collect();
    sent.iter().for_each(JoinHandle::abort);
    for call in sent {
        let _aborted = call.await;
    }
    let last = busy.send(call_number(99));
    let request = busy.next().await;
    assert_eq!(request.values("number"), [json!(99)]);
    request.answer();
    last.await.unwrap().unwrap();
}

/// When the last caller of an exchange leaves, the exchange ends; while one stays, it goes on.
#[tokio::test(start_paused = true)]
async fn an_exchange_ends_with_its_last_caller() {
    for (alone, begun) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut busy = Busy::new().await;
        let calls = if alone { 1 } else { 8 };
        let mut sent: Vec<_> = (0..calls).map(|number| busy.send(call_number(number))).collect();
        let mut request = busy.next().await;
        assert_eq!(request.calls().len(), sent.len());
        let last = sent.remove(sent.len() / 2);
        sent.iter().for_each(JoinHandle::abort);
        // Virtual time stands still while anything can run.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if begun {
            let pieces = request.begin();
            pieces.send(Ok(Bytes::from_static(b"["))).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!pieces.is_closed(), "a caller is still there");
            last.abort();
            pieces.closed().await;
        } else {
            assert!(!request.respond.is_closed(), "a caller is still there");
            last.abort();
            request.respond.closed().await;
        }
    }
}

/// The body of an exchange is read to its end although all callers have their replies: so its connection can be used again.
#[tokio::test(start_paused = true)]
async fn a_body_is_read_to_its_end() {
    let mut busy = Busy::new().await;
    let sent: Vec<_> = (0..3).map(|number| busy.send(call_number(number))).collect();
    let pieces = busy.next().await.begin();
    // The caller of the second call leaves, and its reply arrives all the same.
    sent[1].abort();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for (id, comma) in [(0, "["), (1, ","), (2, ",")] {
        let reply = json!({"jsonrpc": "2.0", "id": id, "result": true});
        pieces.send(Ok(Bytes::from(format!("{comma}{reply}")))).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!pieces.is_closed(), "the end of the body has not arrived");
}

/// Whatever a method is called, the server reads that name: what a path cannot carry travels in JSON.
#[tokio::test(start_paused = true)]
async fn names_that_do_not_fit_into_a_path_travel_in_json() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let names = ["plain.name_1-x", "a/b", "a b", "a?b", "a#b", "%41", "é", "..", "", "_x", "a\"b", "/x"];
    for limits in [CoalesceLimits::off(), CoalesceLimits::default()] {
        let transport = HttpTransport::over(Arc::new(Held(sender.clone())), limits);
        for name in names {
            let sent = transport.send(Call::new(name, "{}"));
            let answer = async {
                let request: Exchanged = requests.recv().await.unwrap();
                let found = match request.path.as_str() {
                    "/" => request.calls()[0]["method"].as_str().unwrap().to_owned(),
                    path => path[1..].to_owned(),
                };
                request.answer();
                found
            };
            let (reply, found) = tokio::join!(sent, answer);
            assert_eq!((found.as_str(), reply.unwrap()), (name, Bytes::from("true")));
        }
    }
}

/// A reply over the limit is refused, alone and in a batch.
#[tokio::test(start_paused = true)]
async fn a_reply_over_the_limit_is_refused() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let limits = CoalesceLimits { reply_bytes: 1_000, ..CoalesceLimits::default() };
    let transport = HttpTransport::over(Arc::new(Held(sender)), limits);
    let mut errors = BTreeMap::new();
    for name in ["alone", "not plain"] {
        let sent = transport.send(Call::new(name, "{}"));
        let answer = async {
            let pieces = requests.recv().await.unwrap().begin();
            pieces.send(Ok(Bytes::from_static(b"[{\"id\":0,\"result\":\""))).unwrap();
            while pieces.send(Ok(Bytes::from(vec![b'x'; 100]))).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let (reply, ()) = tokio::join!(sent, answer);
        errors.insert(name, reply.unwrap_err().code().as_str());
    }
    assert_eq!(
        errors,
        BTreeMap::from([("alone", "resource_exhausted"), ("not plain", "resource_exhausted")])
    );
}

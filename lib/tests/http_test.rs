//! Real sockets: a hand-written server behind HTTP and JSON-RPC, and what bad input gets.
#![allow(clippy::unwrap_used)]

mod common;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::soon;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use traitwire::{CoalesceLimits, Code, Executed, HttpServer, Limits, RpcClient, RpcResult, Server};

/// `echo` gives its arguments back; `wait` ends when it is told to, and counts that it did; `panic` panics.
#[derive(Default)]
struct Echo {
    began: Notify,
    go: Notify,
    waited: AtomicUsize,
    ended: Notify,
}

#[traitwire::async_trait]
impl Server for Echo {
    async fn dispatch(&self, name: &str, args: String) -> String {
        match name {
            "echo" => args,
            "wait" => {
                self.began.notify_one();
                self.go.notified().await;
                self.waited.fetch_add(1, Ordering::SeqCst);
                self.ended.notify_one();
                "true".to_owned()
            }
            "panic" => panic!("as asked"),
            _ => "no JSON".to_owned(),
        }
    }
}

struct Running {
    url: String,
    echo: Arc<Echo>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(limits: Limits) -> Running {
    let echo = Arc::new(Echo::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = HttpServer::new(Arc::clone(&echo)).limits(limits);
    let task = tokio::spawn(server.serve(listener, async move {
        let _ = stopped.await;
    }));
    Running { url, echo, stop: Some(stop), task }
}

/// Sends bytes and reads until the server closes.
async fn raw(url: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    // The server may have answered and closed before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut reply = Vec::new();
    let _ = soon(stream.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

async fn post(url: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let reply = raw(url, format!("{head}{body}").as_bytes()).await;
    let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
    let body = reply.split_once("\r\n\r\n").unwrap().1;
    // A streamed body is chunked; what is between the outermost brackets is the JSON.
    let json = body.find(['{', '[', '"', 't']).map_or("null", |begin| &body[begin..]);
    let value =
        serde_json::Deserializer::from_str(json).into_iter().next().map_or(Value::Null, Result::unwrap);
    (status, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_calls_a_hand_written_server_alone_and_in_batches() {
    let server = start(Limits::default()).await;
    let client = RpcClient::new(server.url.clone(), 7);
    assert_eq!(client.call::<_, Value>("echo", &json!({"a": 1})).await, Some(json!({"a": 1})));
    let calls: Vec<_> = (0..500)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(
                async move { client.try_call::<_, Value>("echo", &json!([i, "}\"{"])).await.unwrap() },
            )
        })
        .collect();
    for (i, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), json!([i, "}\"{"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_of_a_batch_holds_up_no_fast_one() {
    let server = start(Limits::default()).await;
    let client = RpcClient::new(server.url.clone(), 7);
    let slow: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.try_call::<_, bool>("wait", &()).await })
        })
        .collect();
    for i in 0..100 {
        assert_eq!(client.try_call::<_, i32>("echo", &i).await.unwrap(), i);
    }
    while server.echo.waited.load(Ordering::SeqCst) < 3 {
        server.echo.go.notify_one();
        soon(server.echo.ended.notified()).await;
    }
    for call in slow {
        assert!(call.await.unwrap().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_there_do_not_wait_for_the_first_slow_one() {
    let server = start(Limits::default()).await;
    let call = |method: &str| json!({"jsonrpc": "2.0", "method": method, "params": ["here"], "id": method});
    let body = json!([call("wait"), call("echo")]).to_string();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !String::from_utf8_lossy(&reply).contains("here") {
        assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0, "the response ended before the slow call");
    }
    server.echo.go.notify_one();
    soon(stream.read_to_end(&mut reply)).await.unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("\"result\":true"));
}

/// A response whose head has gone before any reply is an array like every other.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_slow_calls_gets_an_array() {
    let server = start(Limits::default()).await;
    let call = |id: u32| json!({"jsonrpc": "2.0", "method": "wait", "params": [], "id": id});
    let body = json!([call(1), call(2)]).to_string();
    let response = reqwest::Client::new().post(&server.url).body(body).send().await.unwrap();
    server.echo.go.notify_one();
    server.echo.go.notify_one();
    let replies: Vec<Value> = response.json().await.unwrap();
    assert_eq!(replies.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_to_its_end_when_its_caller_leaves() {
    let server = start(Limits::default()).await;
    let client = RpcClient::builder(&server.url).timeout(Duration::from_millis(50)).build();
    let error = client.try_call::<_, bool>("wait", &()).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::DeadlineExceeded, Executed::Unknown));
    server.echo.go.notify_one();
    soon(server.echo.ended.notified()).await;
    assert_eq!(server.echo.waited.load(Ordering::SeqCst), 1);
}

/// Two ways to wait.
#[traitwire::service]
trait Waiting: Send + Sync {
    /// Goes on when the caller leaves.
    async fn stay(&self) -> RpcResult<bool>;

    /// Is given up when the caller leaves.
    #[rpc(read_only)]
    async fn look(&self) -> RpcResult<bool>;
}

#[derive(Default)]
struct Waiter {
    go: Notify,
    ended: Notify,
    left: Notify,
}

#[traitwire::async_trait]
impl Waiting for Waiter {
    async fn stay(&self) -> RpcResult<bool> {
        self.go.notified().await;
        self.ended.notify_one();
        Ok(true)
    }

    async fn look(&self) -> RpcResult<bool> {
        struct Left<'a>(&'a Notify);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _left = Left(&self.left);
        std::future::pending().await
    }
}

/// Of a batch that its caller has left, calls that may change something go on and the others end.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_batch_go_on_when_their_caller_leaves() {
    let waiter = Arc::new(Waiter::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = HttpServer::new(WaitingServer::from_arc(waiter.clone()));
    tokio::spawn(server.serve(listener, std::future::pending()));
    let call = |method: &str| json!({"jsonrpc": "2.0", "method": method, "params": {}, "id": method});
    let body = json!([call("stay"), call("look")]).to_string();
    let request =
        format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    // The head comes although there is no reply, so that both calls have begun.
    soon(stream.read_exact(&mut [0; 12])).await.unwrap();
    drop(stream);
    let left = tokio::time::timeout(Duration::from_secs(60), waiter.left.notified()).await;
    assert!(left.is_ok(), "the call that changes nothing goes on");
    waiter.go.notify_one();
    let ended = tokio::time::timeout(Duration::from_secs(60), waiter.ended.notified()).await;
    assert!(ended.is_ok(), "the call that changes something was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_typed_error_and_the_server_goes_on() {
    let mut limits = Limits::default();
    limits.body_bytes = 1_000;
    let server = start(limits).await;
    let url = &server.url;
    let (status, error) = post(url, "/panic", "{}").await;
    assert_eq!((status, &error["code"]), (500, &json!("internal")));
    let (status, error) = post(url, "/other", "{}").await;
    assert_eq!((status, &error["code"]), (500, &json!("internal")));
    let (status, error) = post(url, "/echo", &"x".repeat(100_000)).await;
    assert_eq!((status, &error["code"]), (413, &json!("resource_exhausted")));
    assert_eq!(error["details"][0]["executed"], "no");
    let (status, error) = post(url, "/_private", "{}").await;
    assert_eq!((status, &error["code"]), (501, &json!("unimplemented")));
    let (status, error) = post(url, "/", "{\"jsonrpc\":").await;
    assert_eq!((status, &error["error"]["code"]), (200, &json!(-32700)));
    for body in ["[]", "{}", "3", "{\"jsonrpc\":\"1.0\",\"method\":\"echo\",\"id\":1}"] {
        let (status, error) = post(url, "/", body).await;
        assert_eq!((status, &error["error"]["code"]), (200, &json!(-32600)), "{body}");
    }
    let nested = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let (status, _) = post(url, "/", &nested).await;
    assert_eq!(status, 200);
    assert!(raw(url, b"this is no HTTP\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let (status, reply) = post(url, "/echo", "{\"a\":1}").await;
    assert_eq!((status, reply), (200, json!({"a": 1})));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_rpc_follows_its_specification() {
    let server = start(Limits::default()).await;
    let one = |body: &'static str| post(&server.url, "/", body);
    let (_, reply) = one(r#"{"jsonrpc":"2.0","method":"echo","params":{"a":1},"id":"x"}"#).await;
    assert_eq!(reply, json!({"jsonrpc": "2.0", "id": "x", "result": {"a": 1}}));
    let (status, reply) = one(r#"{"jsonrpc":"2.0","method":"echo","params":{"a":1}}"#).await;
    assert_eq!((status, reply), (204, Value::Null));
    let (_, reply) =
        one(r#"[{"jsonrpc":"2.0","method":"echo","id":null}, 1, {"jsonrpc":"2.0","method":"echo"}]"#).await;
    assert_eq!(reply.as_array().unwrap().len(), 2, "a notification has no reply: {reply}");
    assert_eq!(reply[1]["error"]["code"], -32600);
    let (_, reply) = one(r#"[["2.0","echo",{"a":1},1]]"#).await;
    assert_eq!(reply[0]["error"]["code"], -32600, "an array is no request: {reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_notifications_has_no_response_body() {
    let server = start(Limits::default()).await;
    for methods in [&["echo"][..], &["wait"], &["echo", "wait", "echo"]] {
        let items: Vec<_> =
            methods.iter().map(|method| json!({"jsonrpc": "2.0", "method": method, "params": {}})).collect();
        let body = Value::from(items).to_string();
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let slow = methods.contains(&"wait");
        let waited = server.echo.waited.load(Ordering::SeqCst);
        let (reply, ()) = tokio::join!(raw(&server.url, request.as_bytes()), async {
            if slow {
                soon(server.echo.began.notified()).await;
                server.echo.go.notify_one();
            }
        });
        assert!(reply.starts_with("HTTP/1.1 204 ") && reply.ends_with("\r\n\r\n"), "{methods:?}: {reply}");
        assert_eq!(server.echo.waited.load(Ordering::SeqCst), waited + usize::from(slow), "{methods:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_batch_counts_until_its_last_call_has_ended() {
    let limits = Limits::default().body_bytes(6_000).bodies_bytes(12_000);
    let server = start(limits).await;
    let large = Value::from("x".repeat(5_800));
    let body = json!([{"jsonrpc": "2.0", "method": "wait", "params": [large], "id": 1}]).to_string();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Once the head of the response is there, only the call that goes on holds the body.
        let mut head = [0; 12];
        soon(stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        streams.push(stream);
    }
    let (status, error) = post(&server.url, "/echo", &large.to_string()).await;
    assert_eq!((status, &error["code"]), (429, &json!("resource_exhausted")));
    for mut stream in streams {
        server.echo.go.notify_one();
        soon(server.echo.ended.notified()).await;
        let mut rest = String::new();
        soon(stream.read_to_string(&mut rest)).await.unwrap();
        assert!(rest.contains("\"result\":true"), "{rest}");
    }
    assert_eq!(post(&server.url, "/echo", &large.to_string()).await, (200, large));
}

/// A message that counts how often its schema is derived.
#[derive(Serialize, Deserialize)]
struct Pair {
    left: u32,
    right: u32,
}

static DERIVED: AtomicUsize = AtomicUsize::new(0);

impl JsonSchema for Pair {
    fn schema_name() -> Cow<'static, str> {
        "Pair".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        DERIVED.fetch_add(1, Ordering::SeqCst);
        json_schema!({"type": "object", "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}}})
    }
}

/// Subtracts.
#[traitwire::service]
trait Subtract: Send + Sync {
    /// What is left of `left` without `right`.
    #[rpc(read_only)]
    async fn subtract(&self, pair: Pair) -> RpcResult<u32>;
}

struct Subtracting;

#[traitwire::async_trait]
impl Subtract for Subtracting {
    async fn subtract(&self, pair: Pair) -> RpcResult<u32> {
        Ok(pair.left - pair.right)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_by_position_derive_a_schema_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, SubtractServer::new(Subtracting), std::future::pending()));
    let subtract = || post(&url, "/", r#"{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}"#);
    assert_eq!(subtract().await.1["result"], 19);
    let derived = DERIVED.load(Ordering::SeqCst);
    assert_eq!(subtract().await.1["result"], 19);
    assert_eq!(post(&url, "/subtract", "[42,23]").await.0, 400, "by position is for JSON-RPC alone");
    assert_eq!(DERIVED.load(Ordering::SeqCst), derived);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_closes_the_connection_that_is_idle_for_longest() {
    let mut limits = Limits::default();
    limits.connections = 2;
    let server = start(limits).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut oldest = TcpStream::connect(&address).await.unwrap();
    let _second = TcpStream::connect(&address).await.unwrap();
    let (status, _) = post(&server.url, "/echo", "1").await;
    assert_eq!(status, 200);
    let mut nothing = Vec::new();
    assert_eq!(oldest.read_to_end(&mut nothing).await.unwrap(), 0, "the oldest connection is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_idle_connections_and_finishes_calls() {
    let mut server = start(Limits::default()).await;
    let _idle = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let client = RpcClient::new(server.url.clone(), 1);
    assert_eq!(client.call::<_, i32>("echo", &1).await, Some(1));
    let waiting = tokio::spawn(async move { client.try_call::<_, bool>("wait", &()).await });
    // The permit stays with the `Notify` until the call has come to it.
    server.echo.go.notify_one();
    soon(server.echo.ended.notified()).await;
    server.stop.take().unwrap().send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert!(waiting.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_server_that_is_not_there_has_executed_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = RpcClient::new(url, 0).try_call::<_, Value>("echo", &1).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::Unavailable, Executed::No));
    let error = RpcClient::new("nonsense".into(), 0).try_call::<_, Value>("echo", &1).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::InvalidArgument, Executed::No));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_connections_are_ended() {
    let mut limits = Limits::default();
    limits.header_timeout = Duration::from_millis(100);
    limits.body_timeout = Duration::from_millis(100);
    let server = start(limits).await;
    // Nothing, half a head, and a body that never ends: each is ended by the server.
    for begin in ["", "POST /echo HTTP/1.1\r\nhost: localhost\r\n"] {
        let reply = raw(&server.url, begin.as_bytes()).await;
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 408"), "{begin:?} got {reply:?}");
    }
    let reply =
        raw(&server.url, b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{").await;
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("deadline_exceeded"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_keep_nobody_out() {
    let server = start(Limits::default()).await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap());
    }
    assert_eq!(post(&server.url, "/echo", "1").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_a_limit_of_calls_the_refusal_is_typed() {
    let mut limits = Limits::default();
    limits.concurrent_calls = 1;
    let server = start(limits).await;
    let client = RpcClient::builder(&server.url).coalesce(CoalesceLimits::off()).build();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.try_call::<_, bool>("wait", &()).await }
    });
    soon(server.echo.began.notified()).await;
    let refused = client.try_call::<_, Value>("echo", &1).await.unwrap_err();
    assert_eq!((refused.code(), refused.executed()), (Code::ResourceExhausted, Executed::No));
    server.echo.go.notify_one();
    assert!(waiting.await.unwrap().unwrap());
}

/// A time that no clock can tell, and one that no header can.
#[tokio::test(flavor = "multi_thread")]
async fn deadlines_may_be_as_far_off_as_one_likes() {
    let server = start(Limits::default()).await;
    for timeout in [Duration::MAX, Duration::from_secs(1 << 40)] {
        let client = RpcClient::builder(&server.url).timeout(timeout).build();
        let numbers: Vec<i32> = (0..100).collect();
        let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
        for (reply, number) in futures_util::future::join_all(calls).await.into_iter().zip(numbers) {
            assert_eq!(reply, Ok(number), "{timeout:?}");
        }
    }
}

/// A client whose first runtime ends amid calls that never end, or amid many that do, goes on in the next.
#[test]
fn a_client_outlives_the_runtimes_that_use_it() {
    let many = || Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let one = || Builder::new_current_thread().enable_all().build().unwrap();
    let mut replies_alone = CoalesceLimits::default();
    replies_alone.linger = Duration::from_secs(3_600);
    for (first, method) in [(one(), "wait"), (one(), "echo"), (many(), "wait"), (many(), "echo")] {
        let serving = many();
        let server = serving.block_on(start(Limits::default()));
        // Nothing but replies lets the queue go, and `wait` has none.
        let client = RpcClient::builder(&server.url).coalesce(replies_alone.clone()).build();
        first.block_on(async {
            for _ in 0..1_000 {
                let client = client.clone();
                tokio::spawn(async move { while client.try_call::<_, Value>(method, &1).await.is_ok() {} });
            }
            if method == "wait" {
                soon(server.echo.began.notified()).await;
            } else {
                for _ in 0..10 {
                    client.try_call::<_, Value>("echo", &1).await.unwrap();
                }
            }
        });
        drop(first);
        many().block_on(async {
            let numbers: Vec<i32> = (0..100).collect();
            let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
            let replies = futures_util::future::join_all(calls).await;
            assert_eq!(replies.into_iter().map(Result::unwrap).collect::<Vec<_>>(), numbers, "{method}");
        });
    }
}

/// In an application that exists, the services live under a path of their own, beside its routes and below its layers.
#[tokio::test(flavor = "multi_thread")]
async fn it_nests_in_an_axum_application() {
    let app = axum::Router::new()
        .route("/", axum::routing::get(async || "the application"))
        .nest("/rpc", HttpServer::new(Echo::default()).into_router())
        .layer(axum::middleware::map_response(async |mut response: axum::response::Response| {
            response.headers_mut().insert("x-layer", "seen".parse().unwrap());
            response
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = RpcClient::new(format!("{url}/rpc"), 1);
    let numbers: Vec<i32> = (0..100).collect();
    let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
    let replies = futures_util::future::join_all(calls).await;
    assert_eq!(replies.into_iter().map(Result::unwrap).collect::<Vec<_>>(), numbers);
    let reply = raw(
        &url,
        b"POST /rpc/echo HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n1",
    )
    .await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("x-layer: seen"), "{reply}");
}

/// A stand-in for a proxy: answers each request with what `answer` makes of its first line, and tells which came.
async fn stand_in(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let came = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = came.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            seen.lock().unwrap().push(path.clone());
            let _ = stream.write_all(answer(&path).as_bytes()).await;
            // Until the client has closed, so that nothing it has sent resets the connection.
            let _ = stream.shutdown().await;
            while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
        }
    });
    (url, came)
}

/// A call alone goes below the path of the URL, a batch to the path as it was given.
#[tokio::test(flavor = "multi_thread")]
async fn batches_go_to_the_url_as_it_was_given() {
    for (path, alone, together) in [
        ("", "/echo", "/"),
        ("/", "/echo", "/"),
        ("/api", "/api/echo", "/api"),
        ("/api/", "/api/echo", "/api/"),
    ] {
        let (url, came) = stand_in(|_| "HTTP/1.1 204 \r\nconnection: close\r\n\r\n".to_owned()).await;
        let client = RpcClient::new(format!("{url}{path}"), 1);
        let _unanswered = client.try_call::<_, Value>("echo", &1).await;
        let numbers: Vec<i32> = (0..100).collect();
        let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
        let _unanswered = futures_util::future::join_all(calls).await;
        let came = came.lock().unwrap().clone();
        assert_eq!(came[0], alone, "{path}");
        assert!(came.iter().any(|path| path == together), "{path}: {came:?}");
        assert!(came.iter().all(|path| path == alone || path == together), "{path}: {came:?}");
    }
}

/// A proxy that asks for the same request elsewhere gets it; other redirects are errors that say what to do.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_repeat_the_request_or_are_errors() {
    let server = start(Limits::default()).await;
    for status in [307, 308] {
        let target = server.url.clone();
        let (url, _) = stand_in(move |path| {
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\nlocation: {target}{path}\r\ncontent-length: 0\r\n\r\n")
        })
        .await;
        let client = RpcClient::new(url, 1);
        let numbers: Vec<i32> = (0..50).collect();
        let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
        let replies = futures_util::future::join_all(calls).await;
        assert_eq!(replies.into_iter().map(Result::unwrap).collect::<Vec<_>>(), numbers, "{status}");
    }
    for (status, location, executed) in [
        (301, "http://other.example/", Executed::Unknown),
        (302, "/elsewhere", Executed::Unknown),
        (303, "/elsewhere", Executed::Unknown),
        (307, "https://other.example/", Executed::No),
        (308, "/again", Executed::No),
    ] {
        let (url, _) = stand_in(move |_| {
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
        })
        .await;
        let client = RpcClient::new(url, 1);
        let numbers: Vec<i32> = (0..20).collect();
        let calls = numbers.iter().map(|number| client.try_call::<_, i32>("echo", number));
        for reply in futures_util::future::join_all(calls).await {
            let error = reply.unwrap_err();
            assert_eq!((error.code(), error.executed()), (Code::FailedPrecondition, executed), "{status}");
            assert!(error.message().contains(location), "{status}: {error}");
        }
    }
}

/// Who is refused before the body is there hears so without sending it; whoever may go on is served.
#[tokio::test(flavor = "multi_thread")]
async fn heads_decide_before_the_body_is_there() {
    let server = start(Limits::default()).await;
    let own = server.url.trim_start_matches("http://").to_owned();
    for (headers, status) in [
        (format!("host: {own}\r\norigin: http://evil.example"), "403"),
        (format!("host: {own}\r\norigin: null"), "403"),
        ("host: evil.example".to_owned(), "403"),
        (format!("host: {own}\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors"), "403"),
        ("x: y".to_owned(), "400"),
        (format!("host: {own}\r\ncontent-type: application/proto"), "415"),
        (format!("host: {own}\r\ncontent-encoding: gzip"), "415"),
        (format!("host: {own}\r\ncontent-type: application/grpc+json"), "415"),
    ] {
        for path in ["echo", "", "%65cho"] {
            let request = format!("POST /{path} HTTP/1.1\r\n{headers}\r\ncontent-length: 100000\r\n\r\n");
            let mut stream = TcpStream::connect(&own).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = Vec::new();
            while !String::from_utf8_lossy(&reply).contains("\"code\"") {
                assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0, "{headers}");
            }
            assert!(reply.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{headers}: {reply:?}");
            // It can still be read by who sends all the same.
            stream.write_all(&[b' '; 100_000]).await.unwrap();
        }
    }
    for headers in [
        format!("host: {own}\r\norigin: http://{own}"),
        "host: localhost:1\r\norigin: http://localhost:1\r\ncontent-type: application/json; charset=utf-8"
            .to_owned(),
        format!(
            "host: {own}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-encoding: identity"
        ),
    ] {
        let request = format!(
            "POST /%65c%68o HTTP/1.1\r\n{headers}\r\nconnection: close\r\ncontent-length: 1\r\n\r\n7"
        );
        let reply = raw(&server.url, request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with('7'), "{reply}");
    }
}

/// A listed page may ask, read every answer, and asks first whether it may.
#[tokio::test(flavor = "multi_thread")]
async fn listed_pages_may_use_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(Echo::default())
        .allow_origin("https://ok.example".parse().unwrap())
        .allow_host("kv.example".parse().unwrap());
    tokio::spawn(server.serve(listener, std::future::pending()));
    let ask = async |method: &str, path: &str, headers: &str| {
        let request = format!(
            "{method} /{path} HTTP/1.1\r\nhost: kv.example\r\n{headers}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        raw(&url, request.as_bytes()).await.to_lowercase()
    };
    let asks = "origin: https://ok.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: x-a";
    let reply = ask("OPTIONS", "echo", asks).await;
    assert!(
        reply.starts_with("http/1.1 204 ") && reply.contains("access-control-allow-headers: x-a"),
        "{reply}"
    );
    for (method, path) in
        [("OPTIONS", "echo"), ("POST", "echo"), ("POST", "_none"), ("POST", ""), ("GET", "none")]
    {
        let reply = ask(method, path, asks).await;
        assert!(
            reply.contains("access-control-allow-origin: https://ok.example\r\n"),
            "{method} {path}: {reply}"
        );
        assert!(reply.contains("vary: origin\r\n"), "{method} {path}: {reply}");
        let refused = ask(method, path, &asks.replace("ok.example", "no.example")).await;
        assert!(
            refused.starts_with("http/1.1 403 ") && !refused.contains("access-control-allow-origin"),
            "{refused}"
        );
    }
}

/// What a panic says may be secret.
#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_panic_is_not_sent() {
    let server = start(Limits::default()).await;
    let (status, error) = post(&server.url, "/panic", "{}").await;
    let call = json!({"jsonrpc": "2.0", "method": "panic", "id": 1}).to_string();
    let (_, reply) = post(&server.url, "/", &call).await;
    assert_eq!((status, &error["code"], &reply["error"]["code"]), (500, &json!("internal"), &json!(-32603)));
    assert!(!format!("{error}{reply}").contains("as asked"), "{error} {reply}");
}

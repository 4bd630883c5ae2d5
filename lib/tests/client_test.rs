//! What a client does by itself: repeating, hedging, deadlines that travel, layers, and errors of a service's own.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::soon;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use traitwire::http::HeaderValue;
use traitwire::{
    Bytes, Call, CallContext, Code, Executed, InProcess, Layer, Next, Retry, RpcClient, RpcError, RpcResult,
    Services, TRACEPARENT, Transport,
};

/// One method of each kind.
#[traitwire::service(name = "work")]
trait Work: Send + Sync {
    /// Changes nothing.
    #[rpc(read_only)]
    async fn look(&self) -> RpcResult<u32>;
    /// Changes nothing, and may be asked twice at once.
    #[rpc(read_only, hedge = "20ms")]
    async fn peek(&self) -> RpcResult<u32>;
    /// Changes the same whether once or twice.
    #[rpc(idempotent, retry = 4)]
    async fn set(&self, to: u32) -> RpcResult<()>;
    /// Changes something each time.
    async fn add(&self, by: u32) -> RpcResult<u32>;
    /// Fails in its own way.
    async fn pay(&self, amount: u32, from: String) -> Result<u32, PayError>;
    /// The milliseconds that are left to the call, and its trace.
    #[rpc(read_only, timeout = "5s")]
    async fn left(&self) -> RpcResult<(u64, Option<String>)>;
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum PayError {
    TooPoor { missing: u32 },
    Rpc(RpcError),
}

impl From<RpcError> for PayError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// A transport that fails as often as it is told, and counts.
struct Failing {
    failures: AtomicU32,
    sent: AtomicU32,
    error: RpcError,
}

impl Failing {
    fn new(failures: u32) -> Arc<Self> {
        let error = RpcError::unavailable("lost");
        Arc::new(Self { failures: AtomicU32::new(failures), sent: AtomicU32::new(0), error })
    }

    fn stub(self: &Arc<Self>) -> WorkStub {
        let retry = Retry { pause_first: Duration::from_millis(1), ..Retry::default() };
        let transport: Arc<dyn Transport> = Arc::<Self>::clone(self);
        WorkStub::new(RpcClient::builder("").transport(transport).retry(retry).build())
    }

    fn sent(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }
}

#[traitwire::async_trait]
impl Transport for Failing {
    async fn send(&self, call: Call) -> RpcResult<Bytes> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let more = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match more {
            Ok(_) => Err(self.error.clone()),
            Err(_) if call.method == "work.set" => Ok(Bytes::from_static(b"null")),
            Err(_) => Ok(Bytes::from_static(b"7")),
        }
    }
}

#[tokio::test]
async fn what_may_be_repeated_is_and_nothing_else() {
    let twice = Failing::new(2);
    assert_eq!(twice.stub().look().await.unwrap(), 7);
    assert_eq!(twice.sent(), 3);
    let always = Failing::new(u32::MAX);
    assert_eq!(always.stub().set(1).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(always.sent(), 5, "`retry = 4` is the first try and four more");
    let once = Failing::new(1);
    let error = once.stub().add(1).await.unwrap_err();
    assert_eq!((error.executed(), once.sent()), (Executed::Unknown, 1));
    let by_name = Failing::new(1);
    by_name.stub().client().try_call::<_, u32>("work.look", &()).await.unwrap_err();
    assert_eq!(by_name.sent(), 1, "nothing is known of a method that is called by name");
}

/// Never answers the first call of each pair.
struct FirstHangs(AtomicU32);

#[traitwire::async_trait]
impl Transport for FirstHangs {
    async fn send(&self, _call: Call) -> RpcResult<Bytes> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
        Ok(Bytes::from_static(b"7"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_saves_a_read_that_hangs() {
    let transport = Arc::new(FirstHangs(AtomicU32::new(0)));
    let stub = WorkStub::new(RpcClient::builder("").transport(transport.clone()).build());
    let began = Instant::now();
    assert_eq!(stub.peek().await.unwrap(), 7);
    assert_eq!(began.elapsed().as_millis(), 20);
    assert_eq!(transport.0.load(Ordering::SeqCst), 2);
}

struct Worker {
    next: Option<WorkStub>,
}

#[traitwire::async_trait]
impl Work for Worker {
    async fn look(&self) -> RpcResult<u32> {
        Ok(0)
    }

    async fn peek(&self) -> RpcResult<u32> {
        Ok(0)
    }

    async fn set(&self, _to: u32) -> RpcResult<()> {
        Ok(())
    }

    async fn add(&self, by: u32) -> RpcResult<u32> {
        Ok(by)
    }

    async fn pay(&self, amount: u32, _from: String) -> Result<u32, PayError> {
        if amount > 100 { Err(PayError::TooPoor { missing: amount - 100 }) } else { Ok(100 - amount) }
    }

    async fn left(&self) -> RpcResult<(u64, Option<String>)> {
        if let Some(next) = &self.next {
            return next.left().await;
        }
        let context = CallContext::current().unwrap();
        let left = context.deadline.unwrap().saturating_duration_since(Instant::now());
        let trace = context.headers.get(&TRACEPARENT).map(|trace| trace.to_str().unwrap().to_owned());
        Ok((u64::try_from(left.as_millis()).unwrap(), trace))
    }
}

fn worker(next: Option<WorkStub>) -> Arc<InProcess> {
    Arc::new(InProcess::new(Arc::new(WorkServer::new(Worker { next }))))
}

/// Errors of methods that carry errors of calls, each in its own way.
#[traitwire::service(prefix = "carry")]
trait Carry: Send + Sync {
    /// As a variant.
    async fn change(&self, which: u32) -> Result<u32, PayError>;
    /// As a variant, where nothing is changed.
    #[rpc(read_only)]
    async fn look(&self, which: u32) -> Result<u32, PayError>;
    /// As one of several, without a tag.
    async fn untagged(&self, which: u32) -> Result<u32, UntaggedError>;
    /// As a part of more.
    async fn nested(&self, which: u32) -> Result<u32, NestedError>;
    /// As nothing but a code.
    async fn coded(&self, which: u32) -> Result<u32, CodedError>;
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum UntaggedError {
    Rpc(RpcError),
    Own { own: String },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct NestedError {
    reason: String,
    causes: Vec<RpcError>,
}

/// Says itself what it is on the wire.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
enum CodedError {
    Busy,
    Gone { since: u32 },
}

impl From<RpcError> for UntaggedError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<RpcError> for NestedError {
    fn from(error: RpcError) -> Self {
        Self { reason: "a call failed".to_owned(), causes: vec![error] }
    }
}

impl From<RpcError> for CodedError {
    fn from(_: RpcError) -> Self {
        Self::Busy
    }
}

impl From<CodedError> for RpcError {
    fn from(error: CodedError) -> Self {
        match error {
            CodedError::Busy => Self::resource_exhausted("come back later"),
            CodedError::Gone { since } => {
                Self::new(Code::NotFound, format!("gone since {since}")).not_executed()
            }
        }
    }
}

/// The errors that handlers carry.
fn errors() -> Vec<RpcError> {
    let detail = serde_json::json!({"retry_after_ms": 5});
    vec![
        RpcError::unavailable("no leader").not_executed().with_detail(detail.clone()),
        RpcError::unavailable("connection lost"),
        RpcError::deadline_exceeded("late").with_detail(detail),
        RpcError::invalid_argument("`x` is too large"),
        // What the error of another method looks like.
        RpcError::new(Code::FailedPrecondition, "other")
            .with_detail(serde_json::json!({"error": {"TooPoor": 1}})),
    ]
}

struct Carrying;

#[traitwire::async_trait]
impl Carry for Carrying {
    async fn change(&self, which: u32) -> Result<u32, PayError> {
        Err(errors().swap_remove(usize::try_from(which).unwrap()).into())
    }

    async fn look(&self, which: u32) -> Result<u32, PayError> {
        Err(errors().swap_remove(usize::try_from(which).unwrap()).into())
    }

    async fn untagged(&self, which: u32) -> Result<u32, UntaggedError> {
        Err(errors().swap_remove(usize::try_from(which).unwrap()).into())
    }

    async fn nested(&self, which: u32) -> Result<u32, NestedError> {
        let mut causes = vec![errors().swap_remove(usize::try_from(which).unwrap())];
        causes.push(RpcError::unavailable("another").not_executed());
        Err(NestedError { reason: "two calls failed".to_owned(), causes })
    }

    async fn coded(&self, which: u32) -> Result<u32, CodedError> {
        Err(if which == 0 { CodedError::Busy } else { CodedError::Gone { since: which } })
    }
}

/// An error within a method's own error is what went wrong for everybody: for proxies, for clients of others, for retries.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_carries_an_error_keeps_what_it_says() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, CarryServer::new(Carrying), std::future::pending()));
    let stub = CarryStub::connect(url.clone());
    let http = reqwest::Client::new();
    for (which, error) in (0..).zip(errors()) {
        for name in ["change", "untagged", "nested", "look"] {
            let by_name =
                stub.client().try_call::<_, u32>(&format!("carry.{name}"), &which).await.unwrap_err();
            assert_eq!((by_name.code(), by_name.message()), (error.code(), error.message()), "{name}");
            assert!(
                error.details().iter().all(|detail| by_name.details().contains(detail)),
                "{name}: {by_name:?}"
            );
            let response =
                http.post(format!("{url}/carry.{name}")).body(which.to_string()).send().await.unwrap();
            assert_eq!(response.status(), error.code().http_status(), "{name}");
            let body: serde_json::Value = response.json().await.unwrap();
            let executed = (name != "look").then(|| serde_json::to_value(error.executed()).unwrap());
            assert_eq!(body["details"][0].get("executed"), executed.as_ref(), "{body}");
        }
        assert_eq!(stub.change(which).await, Err(PayError::Rpc(error.clone())));
        assert_eq!(stub.untagged(which).await, Err(UntaggedError::Rpc(error.clone())));
        assert_eq!(stub.nested(which).await.unwrap_err().causes[0], error);
        let Err(PayError::Rpc(looked)) = stub.look(which).await else { panic!("another error") };
        assert_eq!((looked.code(), looked.executed()), (error.code(), Executed::No), "it changes nothing");
    }
    for (which, code, status) in [(0, Code::ResourceExhausted, 429), (3, Code::NotFound, 404)] {
        let by_name = stub.client().try_call::<_, u32>("carry.coded", &which).await.unwrap_err();
        assert_eq!((by_name.code(), by_name.executed()), (code, Executed::No));
        let response = http.post(format!("{url}/carry.coded")).body(which.to_string()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    assert_eq!(stub.coded(3).await, Err(CodedError::Gone { since: 3 }));
}

/// A method's own error is repeated by a client as the error that it carries.
#[tokio::test(flavor = "multi_thread")]
async fn a_carried_error_is_worth_a_repeat_as_it_is_alone() {
    struct Counting(Arc<InProcess>, AtomicU32);
    #[traitwire::async_trait]
    impl Transport for Counting {
        async fn send(&self, call: Call) -> RpcResult<Bytes> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.send(call).await
        }
    }
    for (which, attempts) in [(0, 3), (1, 3), (2, 1), (3, 1)] {
        let server = Arc::new(InProcess::new(Arc::new(CarryServer::new(Carrying))));
        let counting = Arc::new(Counting(server, AtomicU32::new(0)));
        let stub = CarryStub::new(RpcClient::builder("").transport(counting.clone()).build());
        stub.look(which).await.unwrap_err();
        assert_eq!(counting.1.load(Ordering::SeqCst), attempts, "{which}");
    }
}

/// The last of several attempts promises nothing that an earlier one has broken.
#[tokio::test]
async fn an_error_speaks_for_all_attempts() {
    struct Scripted(Mutex<Vec<RpcError>>);
    #[traitwire::async_trait]
    impl Transport for Scripted {
        async fn send(&self, _: Call) -> RpcResult<Bytes> {
            Err(self.0.lock().unwrap().remove(0))
        }
    }
    let refused = || RpcError::resource_exhausted("full");
    let lost = || RpcError::unavailable("lost");
    for (script, executed) in [
        (vec![lost(), refused()], Executed::Unknown),
        (vec![lost().not_executed(), refused()], Executed::No),
        (vec![refused()], Executed::No),
    ] {
        let transport = Arc::new(Scripted(Mutex::new(script)));
        let stub = WorkStub::new(RpcClient::builder("").transport(transport).build());
        assert_eq!(stub.set(1).await.unwrap_err().executed(), executed);
    }
}

/// Whether a reply that is not understood may have changed anything, the method says.
#[tokio::test]
async fn an_undecodable_reply_of_a_method_that_changes_nothing_changes_nothing() {
    struct Nonsense;
    #[traitwire::async_trait]
    impl Transport for Nonsense {
        async fn send(&self, _: Call) -> RpcResult<Bytes> {
            Ok(Bytes::from_static(b"\"nonsense\""))
        }
    }
    let stub = WorkStub::new(RpcClient::builder("").transport(Arc::new(Nonsense)).build());
    let looked = stub.look().await.unwrap_err();
    assert_eq!((looked.code(), looked.executed()), (Code::Internal, Executed::No));
    assert!(!serde_json::to_string(&looked).unwrap().contains("executed"));
    let added = stub.add(1).await.unwrap_err();
    assert_eq!((added.code(), added.executed()), (Code::Internal, Executed::Unknown));
}

#[tokio::test]
async fn an_error_of_a_methods_own_comes_back_as_itself() {
    let stub = WorkStub::new(RpcClient::builder("").transport(worker(None)).build());
    assert_eq!(stub.pay(30, "me".to_owned()).await, Ok(70));
    assert_eq!(stub.pay(130, "me".to_owned()).await, Err(PayError::TooPoor { missing: 30 }));
    let lost = Failing::new(1).stub().pay(30, "me".to_owned()).await;
    assert!(matches!(lost, Err(PayError::Rpc(error)) if error.code() == Code::Unavailable));
}

/// Gives every call a trace and two seconds.
struct Hurry;

#[traitwire::async_trait]
impl Layer for Hurry {
    async fn call(&self, mut call: Call, next: Next<'_>) -> RpcResult<Bytes> {
        call.set_header(TRACEPARENT.clone(), HeaderValue::from_static("00-1-2-01"));
        call.deadline = Some(Instant::now() + Duration::from_secs(2));
        next.run(call).await
    }
}

#[tokio::test]
async fn deadlines_and_traces_travel_from_call_to_call() {
    let last = WorkStub::new(RpcClient::builder("").transport(worker(None)).build());
    let (left_ms, trace) = last.left().await.unwrap();
    assert!((4_000..=5_000).contains(&left_ms), "the method's own deadline: {left_ms}");
    assert_eq!(trace, None);
    let first = RpcClient::builder("").transport(worker(Some(last))).layer(Hurry).build();
    let (left_ms, trace) = WorkStub::new(first).left().await.unwrap();
    assert!((1_000..=2_000).contains(&left_ms), "the deadline of the first caller: {left_ms}");
    assert_eq!(trace.as_deref(), Some("00-1-2-01"));
}

/// The same over sockets, where the deadline travels in a header, and in a batch beside it.
#[tokio::test(flavor = "multi_thread")]
async fn deadlines_travel_over_http_alone_and_in_batches() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let services = Services::new().mount(WorkServer::new(Worker { next: None }));
    tokio::spawn(traitwire::serve(listener, services, std::future::pending()));
    let stub = WorkStub::connect(url);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let (stub, seen) = (stub.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let (left_ms, _) = stub.left().await.unwrap();
                seen.lock().unwrap().push(left_ms);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 64);
    assert!(seen.iter().all(|left_ms| (3_000..=5_000).contains(left_ms)), "{seen:?}");
}

/// Calls that never end by themselves; a channel tells of each that begins and of each that is dropped.
#[traitwire::service(prefix = "endless")]
trait Endless: Send + Sync {
    /// Changes nothing.
    #[rpc(read_only)]
    async fn look(&self) -> RpcResult<()>;
}

#[derive(Debug, PartialEq)]
enum Handled {
    Begun,
    Stopped,
}

struct Telling(tokio::sync::mpsc::UnboundedSender<Handled>);

impl Drop for Telling {
    fn drop(&mut self) {
        let _over = self.0.send(Handled::Stopped);
    }
}

#[traitwire::async_trait]
impl Endless for tokio::sync::mpsc::UnboundedSender<Handled> {
    async fn look(&self) -> RpcResult<()> {
        let _told = Telling(self.clone());
        self.send(Handled::Begun).unwrap();
        std::future::pending().await
    }
}

/// When callers leave, the server stops working on their calls, whether those share exchanges or not.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_change_nothing_stop_when_all_callers_leave() {
    let (sender, mut handled) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(traitwire::serve(listener, EndlessServer::new(sender), std::future::pending()));
    let stub = EndlessStub::connect(url);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let stub = stub.clone();
        calls.spawn(async move { stub.look().await });
    }
    for _ in 0..64 {
        assert_eq!(handled.recv().await, Some(Handled::Begun));
    }
    calls.shutdown().await;
    for _ in 0..64 {
        let stopped = tokio::time::timeout(Duration::from_secs(20), handled.recv()).await;
        assert_eq!(stopped, Ok(Some(Handled::Stopped)));
    }
}

/// What a handler is told of its call, and what it can do.
#[traitwire::service(prefix = "seen")]
trait Seen: Send + Sync {
    /// Changes nothing; gives its argument, the tenant, the milliseconds left and the trace, as the next service sees them.
    #[rpc(read_only)]
    async fn look(&self, number: u32) -> RpcResult<(u32, Option<String>, u64, Option<String>)>;
    /// Changes something, once it may.
    async fn change(&self, number: u32) -> RpcResult<(u32, Option<String>, u64, Option<String>)>;
    /// Fails, having changed something.
    async fn fail(&self) -> RpcResult<()>;
    /// Fails, having changed nothing.
    #[rpc(read_only)]
    async fn fail_to_look(&self) -> RpcResult<()>;
}

struct Seer {
    next: Option<WorkStub>,
    began: tokio::sync::Notify,
    go: tokio::sync::Notify,
    ended: tokio::sync::Notify,
}

impl Seer {
    async fn see(&self, number: u32) -> RpcResult<(u32, Option<String>, u64, Option<String>)> {
        let context = CallContext::current().unwrap();
        let tenant = context.headers.get("x-tenant").map(|tenant| tenant.to_str().unwrap().to_owned());
        let (left_ms, trace) = self.next.as_ref().unwrap().left().await?;
        Ok((number, tenant, left_ms, trace))
    }
}

#[traitwire::async_trait]
impl Seen for Seer {
    async fn look(&self, number: u32) -> RpcResult<(u32, Option<String>, u64, Option<String>)> {
        self.see(number).await
    }

    async fn change(&self, number: u32) -> RpcResult<(u32, Option<String>, u64, Option<String>)> {
        self.began.notify_one();
        self.go.notified().await;
        self.ended.notify_one();
        self.see(number).await
    }

    async fn fail(&self) -> RpcResult<()> {
        Err(RpcError::internal("half done"))
    }

    async fn fail_to_look(&self) -> RpcResult<()> {
        Err(RpcError::internal("not found"))
    }
}

/// A layer of a server that changes calls.
struct Changing(fn(&mut Call));

#[traitwire::async_trait]
impl Layer for Changing {
    async fn call(&self, mut call: Call, next: Next<'_>) -> RpcResult<Bytes> {
        (self.0)(&mut call);
        next.run(call).await
    }
}

/// Checks that the descriptor is the one of the method.
struct Described;

#[traitwire::async_trait]
impl Layer for Described {
    async fn call(&self, call: Call, next: Next<'_>) -> RpcResult<Bytes> {
        assert_eq!(call.descriptor.map(|method| method.name), Some(&*call.method));
        next.run(call).await
    }
}

async fn seen_through(change: fn(&mut Call)) -> (SeenStub, Arc<Seer>) {
    let seer = Arc::new(Seer {
        next: Some(WorkStub::new(RpcClient::builder("").transport(worker(None)).build())),
        began: tokio::sync::Notify::new(),
        go: tokio::sync::Notify::new(),
        ended: tokio::sync::Notify::new(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = traitwire::HttpServer::new(SeenServer::from_arc(Arc::clone(&seer)));
    let server = server.layer(Changing(change)).layer(Described);
    tokio::spawn(server.serve(listener, std::future::pending()));
    (SeenStub::connect(url), seer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_layer_of_a_server_changes_reaches_the_handler_and_its_calls() {
    let (stub, seer) = seen_through(|call| {
        call.set_header("x-tenant".parse().unwrap(), HeaderValue::from_static("a"));
        call.set_header(TRACEPARENT.clone(), HeaderValue::from_static("00-3-4-01"));
        call.deadline = Some(Instant::now() + Duration::from_secs(2));
        call.arguments = Bytes::from_static(b"2");
    })
    .await;
    seer.go.notify_one();
    for seen in [stub.look(1).await, stub.change(1).await] {
        let (number, tenant, left_ms, trace) = seen.unwrap();
        assert_eq!((number, tenant.as_deref(), trace.as_deref()), (2, Some("a"), Some("00-3-4-01")));
        assert!((1_000..=2_000).contains(&left_ms), "{left_ms}");
    }
}

/// The method that is called decides what becomes of a handler and what its errors say, whatever the caller asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_a_server_may_call_another_method() {
    let (stub, seer) = seen_through(|call| match &*call.method {
        "seen.look" => call.method = "seen.change".into(),
        "seen.fail_to_look" => call.method = "seen.fail".into(),
        _ => {}
    })
    .await;
    seer.go.notify_one();
    assert_eq!(stub.look(7).await.unwrap().0, 7);
    soon(seer.ended.notified()).await;
    soon(seer.began.notified()).await;
    let left = tokio::spawn(async move { stub.look(8).await });
    soon(seer.began.notified()).await;
    left.abort();
    let _left = left.await;
    seer.go.notify_one();
    soon(seer.ended.notified()).await;
    let (stub, _seer) = seen_through(|call| call.method = "seen.fail".into()).await;
    let by_name = stub.client().try_call::<_, ()>("seen.fail_to_look", &serde_json::json!({})).await;
    let error = by_name.unwrap_err();
    assert_eq!((error.message(), error.executed()), ("half done", Executed::Unknown));
}

/// A deadline that a layer sets is kept; a handler that may change state runs to its end all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_a_layer_sets_is_kept() {
    let (stub, seer) =
        seen_through(|call| call.deadline = Some(Instant::now() + Duration::from_millis(50))).await;
    let error = stub.change(1).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::DeadlineExceeded, Executed::Unknown));
    seer.go.notify_one();
    soon(seer.ended.notified()).await;
    let (stub, _seer) = seen_through(|call| call.deadline = Some(Instant::now())).await;
    let error = stub.change(1).await.unwrap_err();
    assert_eq!((error.code(), error.executed()), (Code::DeadlineExceeded, Executed::No));
}

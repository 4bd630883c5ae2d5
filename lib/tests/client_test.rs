//! What a client does by itself: repeating, hedging, deadlines that travel, layers, and errors of a service's own.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

//! The network that other tests rely on does what it says: each fate, seen from the client and from the server.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use common::network::{Fate, NetworkConfig, Plan};
use common::proxy::{Counts, Proxy};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// By how much a late reply is late at least.
const LATE: Duration = Duration::from_millis(200);

/// A server that answers each request with its path, query, id and body, and counts them.
struct Echo {
    url: String,
    requests: watch::Receiver<usize>,
}

impl Echo {
    async fn start() -> Self {
        let (count, requests) = watch::channel(0);
        let app = Router::new().fallback(async move |request: Request| {
            count.send_modify(|count| *count += 1);
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let id = parts.headers.get("x-client-id").map_or("", |id| id.to_str().unwrap());
            let text =
                format!("{} {} from {id}: {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
            (StatusCode::IM_A_TEAPOT, [("x-seen", "yes")], text)
        });
        Self { url: serve(app).await, requests }
    }

    /// Waits until the server has been reached so often.
    async fn reached(&mut self, count: usize) {
        let reached = self.requests.wait_for(|requests| *requests == count);
        let waited = tokio::time::timeout(Duration::from_secs(10), reached).await.map(Result::unwrap).is_ok();
        assert!(waited, "the server was reached {} times, not {count}", self.count());
    }

    fn count(&self) -> usize {
        *self.requests.borrow()
    }
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// One exchange of a client; nothing if it was lost.
async fn post(http: &reqwest::Client, proxy: &Proxy, id: u64) -> Option<String> {
    let request = http.post(format!("{}/put?x=1", proxy.url())).header("x-client-id", id).body("body");
    request.send().await.ok()?.text().await.ok()
}

#[tokio::test]
async fn a_reliable_network_passes_everything_on() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(&echo.url, NetworkConfig::reliable()).await;
    let request = client().post(format!("{}/put?x=1", proxy.url())).header("x-client-id", 7).body("body");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers()["x-seen"], "yes");
    let text = response.text().await.unwrap();
    assert_eq!(text, "POST /put?x=1 from 7: body");
    let counts = Counts {
        exchanges: 1,
        calls: 1,
        exchanges_of: [(7, 1)].into(),
        delivered: 1,
        duplicates: 0,
        replies_lost: 0,
        request_bytes: 4,
        reply_bytes: text.len() as u64,
    };
    assert_eq!(proxy.counts(), counts);
}

#[tokio::test]
async fn a_script_decides_one_exchange_after_the_other() {
    let mut echo = Echo::start().await;
    let proxy = Proxy::start(&echo.url, NetworkConfig::reliable()).await;
    let http = client();
    proxy.script([Fate::DropRequest, Fate::DropReply, Fate::Deliver]);
    assert_eq!(post(&http, &proxy, 1).await, None);
    assert_eq!(echo.count(), 0, "a lost request reached the server");
    assert_eq!(post(&http, &proxy, 1).await, None);
    echo.reached(1).await;
    assert!(post(&http, &proxy, 1).await.is_some());
    assert_eq!(proxy.script_left(), 0);
    assert!(post(&http, &proxy, 1).await.is_some(), "after the script the configuration decides");
    assert_eq!((proxy.counts().delivered, proxy.counts().replies_lost), (3, 1));
}

#[tokio::test]
async fn an_exchange_held_back_waits_for_the_test() {
    let mut echo = Echo::start().await;
    let proxy = Proxy::start(&echo.url, NetworkConfig::reliable()).await;
    let http = client();
    proxy.script([Fate::Hold, Fate::Hold]);
    let (reply, ()) = tokio::join!(post(&http, &proxy, 1), async {
        let held = proxy.next_held().await;
        assert_eq!(echo.count(), 0);
        held.decide(Fate::Deliver);
    });
    assert!(reply.is_some());
    echo.reached(1).await;
    let (reply, ()) =
        tokio::join!(post(&http, &proxy, 1), async { proxy.next_held().await.decide(Fate::DropRequest) });
    assert_eq!(reply, None);
    assert_eq!(echo.count(), 1);
}

#[tokio::test]
async fn a_request_arrives_although_its_client_hangs_up() {
    let mut echo = Echo::start().await;
    let proxy = Proxy::start(&echo.url, NetworkConfig::reliable()).await;
    proxy.script([Fate::Hold]);
    let http = client();
    let held = tokio::select! {
        _ = post(&http, &proxy, 1) => panic!("the exchange is held back"),
        held = proxy.next_held() => held,
    };
    drop(http);
    held.decide(Fate::Deliver);
    echo.reached(1).await;
}

#[tokio::test]
async fn a_blocked_client_is_alone() {
    let echo = Echo::start().await;
    let proxy = Proxy::start(&echo.url, NetworkConfig::reliable()).await;
    let http = client();
    proxy.block_client(1);
    assert_eq!(post(&http, &proxy, 1).await, None);
    assert_eq!(echo.count(), 0);
    assert!(post(&http, &proxy, 2).await.is_some());
    proxy.unblock_client(1);
    assert!(post(&http, &proxy, 1).await.is_some());
}

#[tokio::test]
async fn a_cut_loses_everything_and_a_retarget_finds_the_new_server() {
    let (first, second) = (Echo::start().await, Echo::start().await);
    let proxy = Proxy::start(&first.url, NetworkConfig::reliable()).await;
    let http = client();
    proxy.cut();
    assert_eq!(post(&http, &proxy, 1).await, None);
    proxy.heal();
    proxy.retarget(&second.url);
    assert!(post(&http, &proxy, 1).await.is_some());
    assert_eq!((first.count(), second.count()), (0, 1));
}

#[tokio::test]
async fn a_server_that_is_gone_shows_as_a_loss() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let proxy = Proxy::start(&url, NetworkConfig::reliable()).await;
    assert_eq!(post(&client(), &proxy, 1).await, None);
}

#[tokio::test]
async fn an_unreliable_network_loses_half_each_way_and_repeats_by_seed() {
    const EXCHANGES: u64 = 400;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let echo = Echo::start().await;
        let proxy = Proxy::start_seeded(&echo.url, NetworkConfig::unreliable(), 42).await;
        let http = client();
        let mut fates = Vec::new();
        for _ in 0..EXCHANGES {
            fates.push(post(&http, &proxy, 1).await.is_some());
        }
        let counts = proxy.counts();
        assert_eq!(counts.delivered, echo.count() as u64);
        runs.push((fates, counts));
    }
    let (fates, counts) = &runs[0];
    assert_eq!(runs[0], runs[1], "the same seed gives the same network");
    assert!((160..240).contains(&counts.delivered), "{counts:?}");
    let answered = fates.iter().filter(|answered| **answered).count() as u64;
    assert_eq!(answered, counts.delivered - counts.replies_lost);
    assert!((70..130).contains(&answered), "{answered} answered");
}

/// What a network with this seed draws for its first exchanges.
fn drawn(config: &NetworkConfig, seed: u64, exchanges: usize) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..exchanges).map(|_| config.draw(&mut random)).collect()
}

#[test]
fn faults_are_as_frequent_as_their_names_say() {
    const EXCHANGES: usize = 10_000;
    let share = |config: NetworkConfig, is_so: fn(&Plan) -> bool| {
        drawn(&config, 1, EXCHANGES).iter().filter(|plan| is_so(plan)).count() as f64 / EXCHANGES as f64
    };
    let request_lost = |plan: &Plan| plan.fate == Fate::DropRequest;
    let answered = |plan: &Plan| plan.fate == Fate::Deliver;
    let cases = [
        (0.50, share(NetworkConfig::unreliable(), request_lost)),
        (0.25, share(NetworkConfig::unreliable(), answered)),
        (0.10, share(NetworkConfig::lossy(), request_lost)),
        (0.81, share(NetworkConfig::lossy(), answered)),
        (0.10, share(NetworkConfig::reliable().with_duplicates(), |plan| plan.copy_after.is_some())),
        (0.67, share(NetworkConfig::reliable().with_late_replies(), |plan| plan.reply_delay >= LATE)),
        (1.00, share(NetworkConfig::reliable(), answered)),
    ];
    for (number, (expected, found)) in cases.into_iter().enumerate() {
        assert!((found - expected).abs() < 0.02, "case {number}: {found}, not {expected}");
    }
}

#[tokio::test]
async fn copies_reach_the_server_after_the_first() {
    const EXCHANGES: usize = 50;
    let config = NetworkConfig::reliable().with_duplicates();
    let copies = drawn(&config, 42, EXCHANGES).iter().filter(|plan| plan.copy_after.is_some()).count();
    assert!(copies > 0, "this seed shows nothing");
    let mut echo = Echo::start().await;
    let proxy = Proxy::start_seeded(&echo.url, config, 42).await;
    let http = client();
    for _ in 0..EXCHANGES {
        assert!(post(&http, &proxy, 1).await.is_some(), "a copy must not harm the first");
    }
    echo.reached(EXCHANGES + copies).await;
}

#[tokio::test]
async fn late_replies_are_overtaken() {
    const EXCHANGES: usize = 6;
    let config = NetworkConfig::reliable().with_late_replies();
    let expected = drawn(&config, 42, EXCHANGES).iter().filter(|plan| plan.reply_delay >= LATE).count();
    assert!((1..EXCHANGES).contains(&expected), "this seed shows nothing");
    let echo = Echo::start().await;
    let proxy = Proxy::start_seeded(&echo.url, config, 42).await;
    let http = client();
    let took = async || {
        let start = Instant::now();
        post(&http, &proxy, 1).await.unwrap();
        start.elapsed()
    };
    let took = tokio::join!(took(), took(), took(), took(), took(), took());
    let took: [Duration; EXCHANGES] = took.into();
    assert!(took.iter().filter(|took| **took >= LATE).count() >= expected, "{took:?}");
    let (first, last) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*last - *first >= LATE / 2, "{took:?}");
}

#[tokio::test]
async fn a_hanging_cut_shows_late() {
    let echo = Echo::start().await;
    // With this seed the first exchange hangs for about half a second.
    let proxy = Proxy::start_seeded(&echo.url, NetworkConfig::reliable().with_hanging_cuts(), 12).await;
    proxy.cut();
    let start = Instant::now();
    assert_eq!(post(&client(), &proxy, 1).await, None);
    assert!(start.elapsed() >= Duration::from_millis(300), "it failed after {:?}", start.elapsed());
    assert_eq!(echo.count(), 0);
}

#[tokio::test]
async fn a_response_passes_as_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, wait) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await
            .unwrap();
        wait.await.unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
        stream
    });
    let proxy = Proxy::start(&url, NetworkConfig::reliable()).await;
    let mut response = client().get(proxy.url()).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    go_on.send(()).unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "second");
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(proxy.counts().reply_bytes, 11);
    server.await.unwrap();
}

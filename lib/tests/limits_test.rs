//! What callers cannot do to a server, whatever they send: make it work, hold memory or keep others out beyond its limits.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use traitwire::{HttpServer, Limits, PEER, RpcResult, Services};

/// Replies of any size.
#[traitwire::service]
trait Blobs: Send + Sync {
    /// As many letters.
    #[rpc(read_only)]
    async fn blob(&self, wanted: Wanted) -> RpcResult<String>;

    /// As many letters, and remembers that it was asked.
    async fn change(&self, wanted: Wanted) -> RpcResult<String>;

    /// As many letters, when it is told to go.
    #[rpc(read_only)]
    async fn late(&self, wanted: Wanted) -> RpcResult<String>;

    /// What kind of thing it is.
    #[rpc(read_only)]
    async fn kind(&self, thing: Thing) -> RpcResult<u32>;

    /// How many letters came.
    async fn store(&self, text: Text) -> RpcResult<usize>;
}

/// How many letters are wanted.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Wanted {
    letters: usize,
}

/// Letters.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Text {
    letters: String,
}

/// A message with names of its own.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Thing {
    kind: Kind,
    number: u32,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Kind {
    First,
    Second,
}

/// What peers say to each other.
#[traitwire::service(prefix = "peer")]
trait Peer: Send + Sync {
    /// How many letters came.
    async fn tell(&self, text: Text) -> RpcResult<usize>;
}

#[derive(Default)]
struct Held {
    started: AtomicUsize,
    changed: AtomicUsize,
    go: Notify,
    began: Notify,
}

#[traitwire::async_trait]
impl Blobs for Held {
    async fn blob(&self, wanted: Wanted) -> RpcResult<String> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok("x".repeat(wanted.letters))
    }

    async fn change(&self, wanted: Wanted) -> RpcResult<String> {
        self.changed.fetch_add(1, Ordering::SeqCst);
        Ok("x".repeat(wanted.letters))
    }

    async fn late(&self, wanted: Wanted) -> RpcResult<String> {
        let go = self.go.notified();
        self.started.fetch_add(1, Ordering::SeqCst);
        self.began.notify_one();
        go.await;
        Ok("x".repeat(wanted.letters))
    }

    async fn kind(&self, thing: Thing) -> RpcResult<u32> {
        Ok(thing.number)
    }

    async fn store(&self, text: Text) -> RpcResult<usize> {
        Ok(text.letters.len())
    }
}

#[traitwire::async_trait]
impl Peer for Held {
    async fn tell(&self, text: Text) -> RpcResult<usize> {
        Ok(text.letters.len())
    }
}

struct Running {
    address: String,
    held: Arc<Held>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(limits: Limits) -> Running {
    let held = Arc::new(Held::default());
    let services =
        Services::new().mount(BlobsServer::from_arc(held.clone())).mount(PeerServer::from_arc(held.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = HttpServer::new(services).limits(limits).reserve("peer.");
    let task = tokio::spawn(server.serve(listener, async move {
        let _ = stopped.await;
    }));
    Running { address, held, stop: Some(stop), task }
}

impl Running {
    /// Waits until so many calls have begun.
    async fn all_began(&self, count: usize) {
        let all = async {
            while self.held.started.load(Ordering::SeqCst) < count {
                self.held.began.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("the calls begin");
    }
}

fn head(path: &str, length: usize) -> String {
    format!("POST /{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")
}

/// A request of which everything has been sent.
async fn send(address: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{}{body}", head(path, body.len())).as_bytes()).await.unwrap();
    stream
}

/// Reads a response, chunked or not, of a connection that stays open.
async fn receive(stream: &mut TcpStream) -> (u16, Value) {
    let mut bytes = Vec::new();
    let end = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the response ends early");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = bytes.split_off(end);
    if let Some(length) = length {
        let length: usize = length.parse().unwrap();
        while body.len() < length {
            assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the response ends early");
        }
        return (status, serde_json::from_slice(&body).unwrap_or(Value::Null));
    }
    while !body.ends_with(b"0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the response ends early");
    }
    let mut whole = Vec::new();
    let mut rest = &body[..];
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
        if size == 0 {
            break;
        }
    }
    (status, serde_json::from_slice(&whole).unwrap())
}

async fn post(address: &str, path: &str, body: &str) -> (u16, Value) {
    receive(&mut send(address, path, body).await).await
}

fn call(method: &str, params: Value, id: usize) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id })
}

fn batch(count: usize, method: &str, letters: usize) -> String {
    Value::from_iter((0..count).map(|id| call(method, json!({ "letters": letters }), id))).to_string()
}

/// How many replies are results; the others are refused by a limit, and certain not to have run if `unexecuted`.
fn results(replies: &Value, unexecuted: bool) -> usize {
    let replies = replies.as_array().unwrap();
    for reply in replies.iter().filter(|reply| reply.get("error").is_some()) {
        assert_eq!(reply["error"]["data"]["code"], "resource_exhausted", "{reply}");
        if unexecuted {
            assert_eq!(reply["error"]["data"]["details"][0]["executed"], "no", "{reply}");
        }
    }
    replies.iter().filter(|reply| reply.get("result").is_some()).count()
}

/// Names, ids and values of any length cost little, and come back as short errors.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_quoted_is_short() {
    let server = start(Limits::default()).await;
    let long = "ä\u{1b}blob".repeat(200_000);
    let plain = "blobb".repeat(400_000);
    let began = Instant::now();
    for text in [long, plain] {
        let single = |method: &str, params: Value, id: Value| {
            json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id }).to_string()
        };
        let mut named = json!({ "kind": "First", "number": 1 });
        named[&text] = json!(1);
        for (path, body) in [
            ("", single(&text, json!({}), json!(1))),
            ("", single("blob", json!({ "letters": text }), json!(1))),
            ("", single("blob", json!({ "letters": 1 }), json!(text))),
            ("", json!({ "jsonrpc": text, "method": "blob", "id": 1 }).to_string()),
            ("", json!({ "jsonrpc": "2.0", "method": "blob", "timeout_ms": text, "id": 1 }).to_string()),
            ("", format!("[{text}]")),
            ("blob", json!({ "letters": text }).to_string()),
            ("blob", text.clone()),
            ("kind", json!({ "kind": text, "number": 1 }).to_string()),
            ("kind", json!({ "kind": { &text: 1 }, "number": 1 }).to_string()),
            ("kind", json!({ "kind": "First", "number": text }).to_string()),
            ("kind", named.to_string()),
        ] {
            let (_, error) = post(&server.address, path, &body).await;
            let error = error.to_string();
            let start: String = body.chars().take(40).collect();
            assert!(error.contains("code") && error.len() < 4_000, "{path} {start}: {} bytes", error.len());
        }
    }
    // Compared with each name in full, or once more for each character, they take minutes.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

/// An id of any kind has at most 1 KiB, which is named in the error; one of 1 KiB comes back.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_bounded() {
    let server = start(Limits::default()).await;
    let asked =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"blob","params":{{"letters":1}},"id":{id}}}"#);
    for long in [format!("\"{}\"", "i".repeat(1_023)), "1".repeat(1_025), format!("-{}", "1".repeat(1_024))] {
        let (_, reply) = post(&server.address, "", &asked(&long)).await;
        assert_eq!((&reply["id"], &reply["error"]["code"]), (&Value::Null, &json!(-32600)), "{long}");
        let (_, replies) = post(&server.address, "", &format!("[{}]", asked(&long))).await;
        assert_eq!(replies[0]["error"]["code"], -32600);
    }
    let longest = "i".repeat(1_022);
    let (_, reply) = post(&server.address, "", &asked(&format!("\"{longest}\""))).await;
    assert_eq!((&reply["id"], &reply["result"]), (&json!(longest), &json!("x")));
}

/// Past its limit a batch starts no further call, and says so for each.
#[tokio::test(flavor = "multi_thread")]
async fn the_replies_of_a_batch_are_bounded() {
    let server = start(Limits::default().reply_bytes(1 << 20)).await;
    let (_, replies) = post(&server.address, "", &batch(200, "change", 100_000)).await;
    assert_eq!(replies.as_array().unwrap().len(), 200);
    assert_eq!(results(&replies, false), 10, "ten replies fit into the limit");
    let changed = server.held.changed.load(Ordering::SeqCst);
    assert!(changed <= 11, "{changed} calls were started");
    let refused = replies
        .as_array()
        .unwrap()
        .iter()
        .filter(|reply| reply["error"]["data"]["details"][0]["executed"] == "no");
    assert_eq!(refused.count(), 200 - changed, "what was not started says so, and nothing else does");
    // Documents count like other replies, and so do errors of a method's own.
    let discover = Value::from_iter((0..4_000).map(|id| call("rpc.discover", json!({}), id))).to_string();
    let (_, replies) = post(&server.address, "", &discover).await;
    assert!(results(&replies, false) < 4_000 && replies.to_string().len() < 8 << 20);
    // The same limit holds for a reply alone.
    let (status, error) = post(&server.address, "change", "{\"letters\":2000000}").await;
    assert_eq!((status, &error["code"]), (429, &json!("resource_exhausted")));
    assert_eq!(error["details"][0]["executed"], "unknown", "it has run");
    let (status, error) = post(&server.address, "blob", "{\"letters\":2000000}").await;
    assert_eq!((status, error.get("details")), (429, None), "of a read-only call there is nothing to say");
}

/// Calls under way that change nothing are given up when there is no room for their replies.
#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_given_up_when_there_is_no_room() {
    let server = start(Limits::default().reply_bytes(1 << 20)).await;
    let mut stream = send(&server.address, "", &batch(100, "late", 600_000)).await;
    server.all_began(100).await;
    server.held.go.notify_waiters();
    let (_, replies) = receive(&mut stream).await;
    assert_eq!((results(&replies, false), replies.as_array().unwrap().len()), (1, 100));
}

/// Where replies were large lately, a batch learns how large its own are before it starts many calls: what has no room in the end
/// was made for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn after_large_replies_a_batch_starts_few_calls_at_once() {
    let server = start(Limits::default().reply_bytes(1 << 20)).await;
    let (_, replies) = post(&server.address, "", &batch(2, "blob", 300_000)).await;
    assert_eq!(results(&replies, false), 2);
    let before = server.held.started.load(Ordering::SeqCst);
    let held = Arc::clone(&server.held);
    let going = tokio::spawn(async move {
        loop {
            held.go.notify_waiters();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (_, replies) = post(&server.address, "", &batch(100, "late", 300_000)).await;
    going.abort();
    assert_eq!(results(&replies, false), 3, "three replies fit into the limit");
    let started = server.held.started.load(Ordering::SeqCst) - before;
    assert!(started < 50, "{started} of 100 calls were started");
}

/// While others ask, a batch with large replies pauses between its calls. A quick call takes several turns of the runtime, and each
/// would otherwise wait for a large reply.
#[tokio::test]
async fn a_batch_with_large_replies_leaves_time_to_others() {
    let server = start(Limits::default().reply_bytes(1 << 30).replies_bytes(1 << 30)).await;
    let mut large = send(&server.address, "", &batch(200, "blob", 3_000_000)).await;
    let reading = tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 20];
        while large.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    });
    let quick_call = async || assert_eq!(post(&server.address, "store", "{\"letters\":\"\"}").await.0, 200);
    let started = || server.held.started.load(Ordering::SeqCst);
    while started() < 3 {
        quick_call().await;
    }
    let before = started();
    for _ in 0..10 {
        quick_call().await;
    }
    let started = started() - before;
    reading.abort();
    assert!(started < 10, "{started} large replies were made during ten quick calls");
}

/// Calls are started as their caller reads: one that does not read makes the server do little.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_started_as_their_caller_reads() {
    let server = start(Limits::default()).await;
    let mut stream = send(&server.address, "", &batch(600, "blob", 100_000)).await;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    // Another connection is served meanwhile, and gives the first one time.
    for _ in 0..50 {
        assert_eq!(post(&server.address, "store", "{\"letters\":\"\"}").await.0, 200);
    }
    let started = server.held.started.load(Ordering::SeqCst);
    assert!(started < 400, "{started} of 600 calls were started for a caller that does not read");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    assert_eq!(server.held.started.load(Ordering::SeqCst), 600);
}

/// Replies that nobody reads are bounded together, and end with their connections.
#[tokio::test(flavor = "multi_thread")]
async fn unread_replies_are_bounded_and_end() {
    let limits = Limits::default().replies_bytes(64 << 20).write_timeout(Duration::from_millis(500));
    let server = start(limits).await;
    // Each is more than the system keeps for a connection.
    let large = "{\"letters\":20000000}";
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(send(&server.address, "blob", large).await);
    }
    let mut refused = 0;
    let mut unread = Vec::new();
    for mut stream in silent {
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).await.unwrap();
        if &begin == b"HTTP/1.1 429" {
            refused += 1;
        } else {
            unread.push(stream);
        }
    }
    // Two fit into what a quarter of the budget is kept from; their connections may have ended by now.
    assert!(refused >= 1, "160 MB of replies were held");
    assert_eq!(post(&server.address, "blob", "{\"letters\":50000}").await.0, 200);
    // The connections of those who do not read are closed, which makes room.
    for mut stream in unread {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), async {
            // Not a byte for longer than the limit, then what the system has kept.
            tokio::time::sleep(Duration::from_millis(700)).await;
            while stream.read_buf(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
        });
        closed.await.expect("the connection ends");
        assert!(rest.len() < 20_000_000, "the reply was cut off");
    }
    assert_eq!(post(&server.address, "blob", large).await.0, 200);
}

/// A body counts by its bytes, however it is cut.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_one_byte_count_as_one_byte() {
    let server = start(Limits::default().body_bytes(64 << 10).bodies_bytes(128 << 10)).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let head = "POST /store HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunks = "1\r\n \r\n".repeat(8_000);
        stream.write_all(format!("{head}{chunks}").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let letters = json!({ "letters": "x".repeat(30_000) }).to_string();
    for _ in 0..10 {
        assert_eq!(post(&server.address, "store", &letters).await, (200, json!(30_000)));
    }
    for mut stream in slow {
        let rest = "{\"letters\":\"abc\"}";
        stream.write_all(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()).as_bytes()).await.unwrap();
        assert_eq!(receive(&mut stream).await, (200, json!(3)));
    }
}

/// When there is no room, a body that has been arriving for long is given up for one that is there at once. Peers have room
/// of their own.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_make_room() {
    let limits = Limits::default().body_bytes(100_000).bodies_bytes(200_000).peer_bodies_bytes(200_000);
    let server = start(limits).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(head("store", 60_001).as_bytes()).await.unwrap();
        for _ in 0..30 {
            stream.write_all(" ".repeat(2_000).as_bytes()).await.unwrap();
            // The pieces arrive one by one.
            tokio::task::yield_now().await;
        }
        slow.push(stream);
    }
    let letters = json!({ "letters": "x".repeat(60_000) }).to_string();
    let told = post(&server.address, "peer.tell", &letters).await;
    assert_eq!(told, (200, json!(60_000)), "clients take nothing from peers");
    let deadline = Instant::now() + Duration::from_secs(20);
    while post(&server.address, "store", &letters).await.0 != 200 {
        assert!(Instant::now() < deadline, "the slow bodies keep others out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A body that is slower than the limit ends, also one that never pauses; a large one has the time that it needs.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_end() {
    let limits = Limits::default().body_timeout(Duration::from_millis(300)).body_rate(50_000);
    let server = start(limits).await;
    let mut drip = TcpStream::connect(&server.address).await.unwrap();
    drip.write_all(head("store", 1_000_000).as_bytes()).await.unwrap();
    let dripping = async {
        let mut reply = Vec::new();
        loop {
            tokio::select! {
                read = drip.read_buf(&mut reply) => {
                    if read.is_ok_and(|bytes| bytes > 0) { return reply } else { panic!("no answer") }
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let _ = drip.write_all(b" ").await;
                }
            }
        }
    };
    let reply = tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("it is given up");
    assert!(reply.starts_with(b"HTTP/1.1 408 "));
    let body = json!({ "letters": "x".repeat(200_000) }).to_string();
    let mut steady = TcpStream::connect(&server.address).await.unwrap();
    steady.write_all(head("store", body.len()).as_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(20_000) {
        steady.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(receive(&mut steady).await, (200, json!(200_000)));
}

/// A limit above the defaults of others is kept too.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_may_be_as_large_as_their_limit() {
    let server = start(Limits::default().body_bytes(80 << 20)).await;
    let body = json!({ "letters": "x".repeat(70 << 20) }).to_string();
    assert_eq!(post(&server.address, "store", &body).await, (200, json!(70 << 20)));
}

/// Idle connections, used or not, and half-sent heads make room for those who ask.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out() {
    let server = start(Limits::default().connections(20)).await;
    let mut asking = send(&server.address, "late", "{\"letters\":1}").await;
    server.all_began(1).await;
    let mut idle = Vec::new();
    for kind in 0..120 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        match kind % 3 {
            0 => {}
            1 => stream.write_all(b"POST /store HTTP/1.1\r\nhost: loc").await.unwrap(),
            _ => {
                stream
                    .write_all(format!("{}{}", head("blob", 13), "{\"letters\":1}").as_bytes())
                    .await
                    .unwrap();
                assert_eq!(receive(&mut stream).await, (200, json!("x")));
            }
        }
        idle.push(stream);
    }
    assert_eq!(post(&server.address, "blob", "{\"letters\":2}").await, (200, json!("xx")));
    server.held.go.notify_waiters();
    assert_eq!(receive(&mut asking).await, (200, json!("x")), "a call under way keeps its connection");
    let mut closed = 0;
    for stream in &mut idle {
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
        closed += usize::from(matches!(read, Ok(Err(_))));
    }
    assert!(closed >= 100, "{closed} of 120 idle connections were closed");
}

/// Calls of clients that fill the server leave room for peers, alone and in batches; nobody calls other methods that way.
#[tokio::test(flavor = "multi_thread")]
async fn peers_have_room_of_their_own() {
    let server = start(Limits::default().concurrent_calls(3)).await;
    let mut waiting = send(&server.address, "", &batch(3, "late", 1)).await;
    server.all_began(3).await;
    assert_eq!(post(&server.address, "store", "{\"letters\":\"\"}").await.0, 429);
    assert_eq!(post(&server.address, "peer.tell", "{\"letters\":\"abc\"}").await, (200, json!(3)));
    let calls =
        json!([call("peer.tell", json!({ "letters": "a" }), 1), call("store", json!({ "letters": "a" }), 2)]);
    let calls = calls.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\n{}: 1\r\ncontent-length: {}\r\n\r\n{calls}",
        PEER,
        calls.len()
    );
    let mut peer = TcpStream::connect(&server.address).await.unwrap();
    peer.write_all(request.as_bytes()).await.unwrap();
    let (_, replies) = receive(&mut peer).await;
    assert_eq!(replies[0]["result"], 1);
    assert_eq!(replies[1]["error"]["data"]["code"], "permission_denied");
    assert_eq!(replies[1]["error"]["data"]["details"][0]["executed"], "no");
    server.held.go.notify_waiters();
    assert_eq!(results(&receive(&mut waiting).await.1, true), 3);
}

/// A server that stops refuses calls with 503, and waits neither for half a body or head nor for who does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_refuses_what_comes_and_waits_only_for_calls() {
    let mut server = start(Limits::default()).await;
    let mut late = send(&server.address, "late", "{\"letters\":1}").await;
    server.all_began(1).await;
    let mut half_body = TcpStream::connect(&server.address).await.unwrap();
    half_body.write_all(format!("{}{{", head("store", 100)).as_bytes()).await.unwrap();
    let mut half_head = TcpStream::connect(&server.address).await.unwrap();
    half_head.write_all(b"POST /store HTTP/1.1\r\nhost").await.unwrap();
    let mut unread = send(&server.address, "blob", "{\"letters\":30000000}").await;
    unread.read_exact(&mut [0; 12]).await.unwrap();
    let mut idle = send(&server.address, "blob", "{\"letters\":1}").await;
    assert_eq!(receive(&mut idle).await.0, 200);
    server.stop.take().unwrap().send(()).unwrap();
    let refusal = |(status, error): (u16, Value)| {
        assert_eq!((status, &error["code"]), (503, &json!("unavailable")));
        assert_eq!(error["details"][0]["executed"], "no");
    };
    refusal(receive(&mut half_body).await);
    let body = "{\"letters\":\"\"}";
    idle.write_all(format!("{}{body}", head("store", body.len())).as_bytes()).await.unwrap();
    refusal(receive(&mut idle).await);
    let began = Instant::now();
    server.held.go.notify_waiters();
    assert_eq!(receive(&mut late).await, (200, json!("x")));
    server.task.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "it has waited for who does not read");
    assert_eq!(half_head.read(&mut [0]).await.unwrap_or(0), 0);
}

//! Bytes that no HTTP client sends, against one node: each gets a well-formed answer or the end of its connection, no byte of a
//! body is ever taken for a request, and the node serves on.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use traitwire::{KVError, KvClient, RpcClient};
use traitwire_kv::kv_single::client::SingleKvClient;

use common::process::ServerProcess;

/// How long a node may take to answer, or to end a connection whose sender has closed its side.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long descriptors of ended connections may stay open.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// By how much the memory of the node may grow.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// The key that nobody may write.
const SMUGGLED: &str = "smuggled";

struct Target {
    process: ServerProcess,
    _folder: TempDir,
}

impl Target {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = ServerProcess::start(["--data".into(), folder.path().as_os_str().to_owned()]).await;
        Self { process, _folder: folder }
    }

    /// Sends bytes in these pieces, closes the sending side, and gives all that comes back.
    async fn send(&self, pieces: &[&[u8]]) -> Vec<u8> {
        send(self.process.url(), pieces).await
    }

    fn client(&self) -> SingleKvClient {
        SingleKvClient::new(RpcClient::new(self.process.url().to_owned(), 0))
    }

    /// The node serves, and keeps nothing of connections that have ended.
    async fn serves(&mut self, descriptors: usize, resident_bytes: u64) {
        assert!(self.process.is_running(), "the node has ended");
        let client = self.client();
        let version = client.get("healthy").await.map_or(0, |(_, version)| version);
        assert_eq!(client.put("healthy", "yes", version).await, Ok(()));
        assert_eq!(
            client.get(SMUGGLED).await,
            Err(KVError::NoKey),
            "a part of a body was taken for a request"
        );
        drop(client);
        let end = Instant::now() + CLOSE_TIMEOUT;
        while self.process.descriptors() > descriptors {
            assert!(
                Instant::now() < end,
                "{} descriptors are left open",
                self.process.descriptors() - descriptors
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let grown = self.process.resident_bytes().unwrap().saturating_sub(resident_bytes);
        assert!(grown <= GROWTH_BYTES_MAX, "the node has grown by {grown} bytes");
    }
}

async fn send(url: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let exchange = async {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            // The node may have answered and closed already.
            if stream.write_all(piece).await.is_err() {
                break;
            }
            // A piece is a packet of its own.
            tokio::task::yield_now().await;
        }
        let _closed_already = stream.shutdown().await;
        let mut reply = Vec::new();
        // Where a node closes with bytes unread, the connection is reset; what came before that counts.
        let _reset = stream.read_to_end(&mut reply).await;
        reply
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.expect("the node answers or closes in time")
}

/// The statuses of the responses in what came back. Panics unless it is a row of well-formed responses, the last of which may have
/// been cut off.
fn statuses(mut bytes: &[u8], about: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            panic!("{about}: a head without an end: {:?}", String::from_utf8_lossy(bytes))
        };
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        assert!(first.starts_with("HTTP/1.1 ") || first.starts_with("HTTP/1.0 "), "{about}: {first:?}");
        let status: u16 = first[9..12].parse().unwrap_or_else(|_| panic!("{about}: {first:?}"));
        statuses.push(status);
        let fields: Vec<_> =
            lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"))).collect();
        let field = |name: &str| fields.iter().find(|(it, _)| *it == name).map(|(_, value)| *value);
        bytes = &bytes[end + 4..];
        if status == 100 {
            continue;
        }
        if field("transfer-encoding").is_some() {
            // Nothing that is sent here has a reply long enough to be cut off, and it ends with the last chunk.
            let end = bytes.windows(5).position(|five| five == b"0\r\n\r\n").expect("chunks end");
            bytes = &bytes[end + 5..];
        } else {
            let length: usize = field("content-length").map_or(0, |length| length.parse().unwrap());
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }
    statuses
}

fn smuggled() -> String {
    let body = format!(r#"{{"key":"{SMUGGLED}","value":"x","version":0}}"#);
    format!("POST /put HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Two programs that read one request differently can be made to see two requests where there is one. Wherever the length of a
/// body is said in two ways, or in a way that is not plain, the request is refused or at least the last of its connection.
#[tokio::test]
async fn the_end_of_a_body_is_never_in_doubt() {
    let mut target = Target::start().await;
    let (descriptors, resident) = (target.process.descriptors(), target.process.resident_bytes().unwrap());
    let hidden = smuggled();
    let get = r#"{"key":"a"}"#;
    let chunked = format!("{:x}\r\n{get}\r\n0\r\n\r\n", get.len());
    let both = chunked.len() + hidden.len();
    let framings = [
        format!("content-length: {both}\r\ntransfer-encoding: chunked"),
        format!("transfer-encoding: chunked\r\ncontent-length: {both}"),
        format!("content-length: {}\r\ncontent-length: {both}", get.len()),
        format!("content-length: {both}\r\ncontent-length: {}", get.len()),
        format!("content-length: {}, {both}", get.len()),
        format!("content-length: +{}", get.len()),
        format!("content-length: 0x{:x}", get.len()),
        format!("content-length: -{}", get.len()),
        format!("content-length: {}e0", get.len()),
        format!("content-length: {}.0", get.len()),
        "content-length: 18446744073709551627".to_owned(),
        "content-length: 99999999999999999999999999".to_owned(),
        "content-length:".to_owned(),
        format!("content-length : {}", get.len()),
        format!("content-length\t: {}", get.len()),
        format!("x: y\r\n content-length: {}", get.len()),
        format!("content-length: {}\r\n  {both}", get.len()),
        format!("content-length: {}\0", get.len()),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: identity".to_owned(),
        "transfer-encoding: gzip, chunked, gzip".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding: \"chunked\"".to_owned(),
    ];
    for framing in framings {
        for body in [get, &chunked] {
            let head = format!("POST /get HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n\r\n");
            let reply = target.send(&[head.as_bytes(), body.as_bytes(), hidden.as_bytes()]).await;
            let statuses = statuses(&reply, &framing);
            let is_put = |reply: &[u8]| reply.windows(11).any(|it| it == b"{\"version\":");
            assert!(statuses.len() <= 1, "{framing:?}: {statuses:?} in answer to one request");
            assert!(!is_put(&reply), "{framing:?} let a put through");
        }
    }
    target.serves(descriptors, resident).await;
}

/// The same for chunks whose sizes or ends are wrong.
#[tokio::test]
async fn malformed_chunks_end_the_connection() {
    let mut target = Target::start().await;
    let (descriptors, resident) = (target.process.descriptors(), target.process.resident_bytes().unwrap());
    let head = "POST /get HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\n ", "e".repeat(100_000));
    let trailers = format!("0\r\n{}\r\n", "t: v\r\n".repeat(10_000));
    let bodies = [
        "zz\r\n",
        "-1\r\n",
        "+1\r\n \r\n0\r\n\r\n",
        "0x1\r\n \r\n0\r\n\r\n",
        " 1\r\n \r\n0\r\n\r\n",
        "1 1\r\n ",
        "ffffffffffffffff\r\n ",
        "10000000000000000\r\n ",
        "ffffffffffffffffff\r\n ",
        "\r\n",
        "1\r\n  \r\n0\r\n\r\n",
        "1\r\n 0\r\n\r\n",
        "1\n \n0\n\n",
        "1\r\n \n0\r\n\r\n",
        "1;a=\r\n",
        "1;\n",
        &long,
        &trailers,
        "0\r\nx\r\n\r\n",
    ];
    for body in bodies {
        let reply = target.send(&[head.as_bytes(), body.as_bytes(), smuggled().as_bytes()]).await;
        let about: String = body.chars().take(40).collect();
        let statuses = statuses(&reply, &about);
        assert!(statuses.iter().all(|status| *status >= 400), "{about:?}: {statuses:?}");
        assert!(statuses.len() <= 1, "{about:?}: {statuses:?} in answer to one request");
    }
    target.serves(descriptors, resident).await;
}

/// Odd first lines and header fields.
#[tokio::test]
async fn odd_heads_are_answered_or_refused() {
    let mut target = Target::start().await;
    let (descriptors, resident) = (target.process.descriptors(), target.process.resident_bytes().unwrap());
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "p".repeat(500_000));
    let many = format!("GET /status HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    let heads = [
        "GET /status HTTP/0.9\r\n\r\n",
        "GET /status HTTP/2.0\r\nhost: x\r\n\r\n",
        "GET /status HTTP/1.9\r\nhost: x\r\n\r\n",
        "GET /status\r\n\r\n",
        "GET  /status  HTTP/1.1\r\nhost: x\r\n\r\n",
        "/status\r\n\r\n",
        "\r\n\r\n\r\n",
        "\0\0\0\0",
        "GET http://elsewhere/status HTTP/1.1\r\nhost: x\r\n\r\n",
        "CONNECT elsewhere:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET //status HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /%00%ff%zz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /status HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /status HTTP/1.1\r\n\r\n",
        "GET /status HTTP/1.1\nhost: x\n\n",
        "GET /status HTTP/1.1\rhost: x\r\r",
        "GET /status HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /status HTTP/1.1\r\n: empty\r\n\r\n",
        "GET /status HTTP/1.1\r\nx: \u{1}\u{7f}\r\n\r\n",
        "GET /status HTTP/1.1\r\nx: \u{e9}\u{1f600}\r\n\r\n",
        "POST /get HTTP/1.1\r\nhost: x\r\nexpect: 200-ok\r\ncontent-length: 2\r\n\r\n{}",
        "GET /status HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
        "GET /status HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long,
        &many,
    ];
    for head in heads {
        let reply = target.send(&[head.as_bytes()]).await;
        let about: String = head.chars().take(60).collect();
        for status in statuses(&reply, &about) {
            assert!((200..600).contains(&status), "{about:?}: {status}");
        }
    }
    target.serves(descriptors, resident).await;
}

/// Valid requests with bytes changed, lost, doubled and cut off, in packets that end anywhere, many at a time.
#[tokio::test]
async fn damaged_requests_hurt_nobody() {
    const ROUNDS: usize = 80;
    const AT_ONCE: usize = 25;
    let seed = common::seed();
    let mut random = Rng::with_seed(seed);
    println!("TRAITWIRE_TEST_SEED={seed}");
    let mut target = Target::start().await;
    let (descriptors, resident) = (target.process.descriptors(), target.process.resident_bytes().unwrap());
    for _ in 0..ROUNDS {
        let mut running = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (url, bytes) = (target.process.url().to_owned(), damaged(&mut random));
            let cuts: Vec<usize> = (0..random.usize(0..4)).map(|_| random.usize(0..=bytes.len())).collect();
            running.spawn(async move {
                let mut cuts = cuts;
                cuts.extend([0, bytes.len()]);
                cuts.sort_unstable();
                let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
                let reply = send(&url, &pieces).await;
                statuses(&reply, &format!("{:?}", String::from_utf8_lossy(&bytes)));
            });
        }
        running.join_all().await;
    }
    target.serves(descriptors, resident).await;
}

/// A row of valid requests, damaged.
fn damaged(random: &mut Rng) -> Vec<u8> {
    let bodies = [
        ("/get", r#"{"key":"a"}"#),
        ("/put", r#"{"key":"fuzz","value":"x","version":3}"#),
        ("/", r#"{"jsonrpc":"2.0","method":"get","params":["a"],"id":1}"#),
        (
            "/",
            r#"[{"jsonrpc":"2.0","method":"rsm.status","id":1},{"jsonrpc":"2.0","method":"get","id":"2"}]"#,
        ),
        ("/rsm.submit", r#"{"command":{"put":{"key":"fuzz","value":"x","version":3}}}"#),
        ("/raft.pre_vote", r#"{"sender":{"cluster":"traitwire","protocol":1,"from":2,"to":1},"args":{}}"#),
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..4) {
        let (path, body) = *random.choice(&bodies).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnect-timeout-ms: 500\r\n");
        let rest = if random.bool() {
            format!("content-length: {}\r\n\r\n{body}", body.len())
        } else {
            format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        };
        bytes.extend_from_slice((head + &rest).as_bytes());
    }
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..bytes.len());
        let end = (at + random.usize(1..20)).min(bytes.len());
        match random.u8(0..6) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].repeat(random.usize(1..5));
                drop(bytes.splice(at..at, part));
            }
            4 => bytes.insert(at, *random.choice(b"\r\n\0 :,{}[]\"").unwrap()),
            _ => bytes.truncate(at + 1),
        }
        if bytes.is_empty() {
            return vec![0];
        }
    }
    bytes
}

//! Raw HTTP for attackers: bytes written to sockets, and a reader that only counts what comes back.
//!
//! It costs an attacker little, so that what the well-behaved clients lose is lost to the servers' work and not to that of the
//! attacker, which shares their processors.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// How long an exchange may take before the attacker gives up on it.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much the system keeps for an attacker that does not read.
const UNREAD_BYTES: u32 = 16 << 10;
/// How much is read at once of what nobody looks at.
const READ_BYTES: usize = 256 << 10;

/// Whom to attack, and what was done to them.
pub(crate) struct Targets {
    pub(crate) leader: SocketAddr,
    pub(crate) leader_id: u64,
    pub(crate) term: u64,
    /// All nodes, with their ids.
    pub(crate) nodes: Vec<(u64, SocketAddr)>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    connections_failed: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_read: AtomicU64,
    replies_ok: AtomicU64,
    replies_refused: AtomicU64,
    replies_failed: AtomicU64,
}

/// What an attacker did and what came back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) connections_failed: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_read: u64,
    /// Replies with status 2xx.
    pub(crate) replies_ok: u64,
    /// Replies with another status.
    pub(crate) replies_refused: u64,
    /// Requests without a reply: the connection ended, or the attacker gave up.
    pub(crate) replies_failed: u64,
    /// The processor time of the attacker, as a share of one core.
    pub(crate) processor_share: f64,
}

impl Targets {
    pub(crate) fn new(nodes: Vec<(u64, SocketAddr)>, leader_id: u64, term: u64) -> Option<Self> {
        let (_, leader) = *nodes.iter().find(|(id, _)| *id == leader_id)?;
        Some(Self { leader, leader_id, term, nodes, counters: Counters::default() })
    }

    pub(crate) fn counts(&self) -> Counts {
        let it = &self.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: get(&it.connections),
            connections_failed: get(&it.connections_failed),
            bytes_sent: get(&it.bytes_sent),
            bytes_read: get(&it.bytes_read),
            replies_ok: get(&it.replies_ok),
            replies_refused: get(&it.replies_refused),
            replies_failed: get(&it.replies_failed),
            processor_share: 0.0,
        }
    }

    /// The nodes in turn.
    pub(crate) fn node(&self, number: u64) -> (u64, SocketAddr) {
        self.nodes[usize::try_from(number % self.nodes.len() as u64).expect("a remainder of a length fits")]
    }

    pub(crate) async fn connect(&self, to: SocketAddr) -> io::Result<Connection<'_>> {
        self.connected(TcpStream::connect(to)).await
    }

    /// The same with little room for what is not read: a system that takes megabytes for a reader is as good as one who reads.
    pub(crate) async fn connect_unread(&self, to: SocketAddr) -> io::Result<Connection<'_>> {
        self.connected(async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(UNREAD_BYTES)?;
            socket.connect(to).await
        })
        .await
    }

    async fn connected(
        &self,
        connecting: impl Future<Output = io::Result<TcpStream>>,
    ) -> io::Result<Connection<'_>> {
        let connected = timeout(EXCHANGE_TIMEOUT, connecting).await.unwrap_or_else(late);
        let counter = match &connected {
            Ok(_) => &self.counters.connections,
            Err(_) => &self.counters.connections_failed,
        };
        count(counter, 1);
        Ok(Connection { stream: connected?, counters: &self.counters })
    }

    /// Sends a request on a connection of its own and reads the reply to its end. A failure is counted and otherwise of no
    /// interest.
    pub(crate) async fn exchange(&self, to: SocketAddr, request: &[u8]) {
        let exchange = async {
            let mut connection = self.connect(to).await?;
            let (mut from, mut to) = connection.stream.split();
            // A server may answer, and stop reading, before it has all.
            let (_sent, read) = tokio::join!(write(&mut to, request, &self.counters), async {
                drain(&mut from, &self.counters).await
            });
            read
        };
        match timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or_else(late) {
            Ok(Some(status)) if status / 100 == 2 => count(&self.counters.replies_ok, 1),
            Ok(Some(_)) => count(&self.counters.replies_refused, 1),
            Ok(None) | Err(_) => count(&self.counters.replies_failed, 1),
        }
    }
}

fn late<T>(_: tokio::time::error::Elapsed) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], counters: &Counters) -> io::Result<()> {
    to.write_all(bytes).await?;
    count(&counters.bytes_sent, bytes.len());
    Ok(())
}

/// Reads to the end; gives the status of the first reply, if one came.
async fn drain(from: &mut (impl AsyncReadExt + Unpin), counters: &Counters) -> io::Result<Option<u16>> {
    let mut buffer = vec![0; READ_BYTES];
    let mut status = None;
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) => return Ok(status),
            Ok(read) => read,
            // A connection that is reset after its reply has had a reply.
            Err(error) if status.is_none() => return Err(error),
            Err(_) => return Ok(status),
        };
        count(&counters.bytes_read, read);
        if status.is_none() {
            let head = String::from_utf8_lossy(&buffer[..read.min(32)]);
            status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        }
    }
}

/// One connection of an attacker.
pub(crate) struct Connection<'a> {
    pub(crate) stream: TcpStream,
    counters: &'a Counters,
}

impl Connection<'_> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        write(&mut self.stream, bytes, self.counters).await
    }

    /// Reads what comes until the server ends the connection.
    pub(crate) async fn drain(&mut self) -> io::Result<Option<u16>> {
        drain(&mut self.stream, self.counters).await
    }

    /// Reads what is there already, and waits for nothing.
    pub(crate) fn drain_ready(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
                Ok(read) => count(&self.counters.bytes_read, read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the connection without reading from it.
    pub(crate) async fn hold(self) {
        std::future::pending::<()>().await;
        drop(self);
    }
}

/// Does something again and again, `workers` at a time, each worker `every` so often at most. The acts are numbered.
pub(crate) async fn repeat<F>(workers: u64, every: Duration, act: impl Fn(u64) -> F + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send,
{
    let act = Arc::new(act);
    let mut running = JoinSet::new();
    for worker in 0..workers {
        let act = Arc::clone(&act);
        running.spawn(async move {
            // One after the other, not all at the same moment.
            let first = Instant::now() + every.mul_f64(worker as f64 / workers as f64);
            let mut ticks = tokio::time::interval_at(first, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut number = worker;
            loop {
                ticks.tick().await;
                act(number).await;
                number += workers;
            }
        });
    }
    let ended = running.join_next().await;
    panic!("an attacker has ended by itself: {ended:?}");
}

/// A `POST` with further header lines, each ended by `\r\n`, after which the server closes the connection.
pub(crate) fn post_with(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    post_with(path, "", body.as_bytes())
}

/// The head of a `POST` whose body is still to come, on a connection that stays open.
pub(crate) fn head(path: &str, framing: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{framing}\r\n\r\n")
}

/// A JSON-RPC request of these JSON texts.
pub(crate) fn call(method: &str, params: &str, id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params},"id":{id}}}"#)
}

/// A batch of the same call `count` times, each with an id of its own.
pub(crate) fn batch(count: usize, method: &str, params: &str) -> String {
    let calls: Vec<_> =
        (0..count).map(|id| call(&format!("\"{method}\""), params, &id.to_string())).collect();
    format!("[{}]", calls.join(","))
}

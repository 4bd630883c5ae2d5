//! A slow or long link between real sockets: it carries bytes as they come, at a rate and with a delay, whatever they mean.
//!
//! All connections through one link share its rate, in each direction. A connection takes a round trip to open, as with TCP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// The bytes that take their turn on the link at once.
const CHUNK_BYTES: usize = 8 << 10;

/// How many chunks a connection may have on the link: a router holds back senders by dropping, this link by not reading.
const CHUNKS_MAX: usize = 16;

/// A link to one server. It ends, with all connections, when it is dropped.
pub(crate) struct Link {
    url: String,
    target: Arc<Mutex<String>>,
    accepting: AbortHandle,
}

/// What a link does to what passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkConfig {
    /// How long a byte takes, in each direction.
    pub(crate) delay: Duration,
    /// The bytes that pass in a second, in each direction; 0 for any number.
    pub(crate) bytes_per_s: u64,
}

/// One direction of a link: until when it is busy.
struct Lane {
    config: LinkConfig,
    busy_until: Mutex<Instant>,
}

impl Link {
    /// A link to the address that [`Link::retarget`] names.
    pub(crate) async fn start(config: LinkConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let target = Arc::<Mutex<String>>::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), config)).abort_handle();
        Self { url, target, accepting }
    }

    /// Where clients find the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Connects to the server at this URL from now on.
    pub(crate) fn retarget(&self, url: &str) {
        let address = url.strip_prefix("http://").expect("servers have such URLs");
        *self.target.lock().expect("nothing panics under this lock") = address.to_owned();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<String>>, config: LinkConfig) {
    let lane = || Arc::new(Lane { config, busy_until: Mutex::new(Instant::now()) });
    let (there, back) = (lane(), lane());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = accepted else { continue };
        let (there, back) = (Arc::clone(&there), Arc::clone(&back));
        let target = target.lock().expect("nothing panics under this lock").clone();
        connections.spawn(async move {
            tokio::time::sleep(2 * config.delay).await;
            let Ok(server) = TcpStream::connect(&target).await else { return };
            for stream in [&client, &server] {
                let _slower = stream.set_nodelay(true);
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::join!(there.carry(from_client, to_server), back.carry(from_server, to_client));
        });
    }
}

impl Lane {
    /// Carries what one end sends to the other, until it ends.
    async fn carry(&self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
        let (on_the_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(self.chunks_max());
        let sending = async move {
            let mut buffer = vec![0; CHUNK_BYTES];
            while let Ok(count) = from.read(&mut buffer).await
                && count > 0
            {
                let passed_at = self.pass(count);
                let chunk = (passed_at + self.config.delay, buffer[..count].to_vec());
                // What comes next waits until this has passed, so that other connections have their turns.
                sleep_until(passed_at).await;
                if on_the_way.send(chunk).await.is_err() {
                    return;
                }
            }
        };
        let receiving = async move {
            while let Some((at, chunk)) = arriving.recv().await {
                sleep_until(at).await;
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            let _closed = to.shutdown().await;
        };
        tokio::join!(sending, receiving);
    }

    /// A long link has more on the way than a short one.
    fn chunks_max(&self) -> usize {
        let bytes = self.config.delay.as_secs_f64() * self.config.bytes_per_s as f64;
        if self.config.bytes_per_s == 0 { 4_096 } else { CHUNKS_MAX + bytes as usize / CHUNK_BYTES }
    }

    /// When so many bytes have passed the narrowest place.
    fn pass(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        if self.config.bytes_per_s == 0 {
            return now;
        }
        let took = Duration::from_secs_f64(bytes as f64 / self.config.bytes_per_s as f64);
        let mut busy_until = self.busy_until.lock().expect("nothing panics under this lock");
        *busy_until = now.max(*busy_until) + took;
        *busy_until
    }
}

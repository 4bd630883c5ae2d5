//! A proxy that is a bad network: it stands between clients and one server on real sockets and loses, delays, repeats or
//! holds back what passes.
//!
//! Its unit is the *exchange*, one HTTP request and its response, whatever they carry: a batch of calls in one exchange
//! shares one fate.
//!
//! - A lost request never reaches the server. A lost reply means that the server has done the work.
//! - A loss shows to the client as a connection closed without a response, as soon as the delays of the way allow; only
//!   [`NetworkConfig::with_hanging_cuts`] makes it wait. A server that does not answer shows in the same way.
//! - What a client has sent goes on to the server even if the client hangs up meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, header, request};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::IgnoredAny;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::network::{Fate, NetworkConfig, Plan};

/// How long a server may take to begin its response. Longer than any deadline of a client.
const SERVER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection to the server is kept without use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a test waits for an exchange that it has asked to be held back.
const HELD_TIMEOUT: Duration = Duration::from_secs(20);

/// What has passed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Exchanges that clients began.
    pub(crate) exchanges: u64,
    /// The calls in them: a batch has several.
    pub(crate) calls: u64,
    /// The same, by client.
    pub(crate) exchanges_of: BTreeMap<u64, u64>,
    /// Requests that reached the server, copies not counted.
    pub(crate) delivered: u64,
    /// Copies that reached the server.
    pub(crate) duplicates: u64,
    /// Replies of delivered requests that the client did not get.
    pub(crate) replies_lost: u64,
    /// Bytes of request bodies from clients.
    pub(crate) request_bytes: u64,
    /// Bytes of response bodies to clients.
    pub(crate) reply_bytes: u64,
}

/// A network between clients and one server. It ends, with all connections, when it is dropped.
pub(crate) struct Proxy {
    url: String,
    network: Arc<Network>,
    held: tokio::sync::Mutex<mpsc::UnboundedReceiver<Held>>,
    accepting: AbortHandle,
}

/// An exchange that waits in the proxy. Dropped undecided, it is lost before the server.
pub(crate) struct Held {
    decision: oneshot::Sender<Fate>,
}

impl Held {
    /// Lets the exchange go on to this fate.
    pub(crate) fn decide(self, fate: Fate) {
        assert_ne!(fate, Fate::Hold, "it is held already");
        // A proxy that has ended holds nothing back any more.
        let _ended = self.decision.send(fate);
    }
}

impl Proxy {
    /// A network in front of the server at `target`, with the choices of [`super::seed`].
    pub(crate) async fn start(target: &str, config: NetworkConfig) -> Self {
        Self::start_seeded(target, config, super::seed()).await
    }

    /// A network whose random choices follow from `seed`.
    pub(crate) async fn start_seeded(target: &str, config: NetworkConfig, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let (hold, held) = mpsc::unbounded_channel();
        let network = Arc::new(Network {
            state: Mutex::new(State {
                target: target.to_owned(),
                config,
                seed: Some(seed),
                random: fastrand::Rng::with_seed(seed),
                script: VecDeque::new(),
                blocked: BTreeSet::new(),
                cut: false,
                counts: Counts::default(),
            }),
            client: reqwest::Client::builder()
                .no_proxy()
                .tcp_nodelay(true)
                .timeout(SERVER_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .build()
                .expect("the settings are valid"),
            hold,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&network))).abort_handle();
        Self { url, network, held: tokio::sync::Mutex::new(held), accepting }
    }

    /// Where clients find the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the network for exchanges that begin from now on.
    pub(crate) fn set(&self, config: NetworkConfig) {
        self.network.state().config = config;
    }

    /// Draws the choices from this seed from now on, which the caller prints when the test fails.
    pub(crate) fn reseed(&self, seed: u64) {
        let mut state = self.network.state();
        (state.seed, state.random) = (None, fastrand::Rng::with_seed(seed));
    }

    /// Sends exchanges to another address from now on: the server was restarted there.
    pub(crate) fn retarget(&self, target: &str) {
        target.clone_into(&mut self.network.state().target);
    }

    /// Loses all requests, and the replies still on their way, until [`Proxy::heal`].
    pub(crate) fn cut(&self) {
        self.network.state().cut = true;
    }

    /// Ends a cut.
    pub(crate) fn heal(&self) {
        self.network.state().cut = false;
    }

    /// Loses everything of the client that sends this `X-Client-Id`.
    pub(crate) fn block_client(&self, client: u64) {
        self.network.state().blocked.insert(client);
    }

    /// Lets a blocked client through again.
    pub(crate) fn unblock_client(&self, client: u64) {
        self.network.state().blocked.remove(&client);
    }

    /// Decides the fates of the next exchanges, in the order in which they arrive. After the last one, and for delays,
    /// the configuration decides again.
    pub(crate) fn script(&self, fates: impl IntoIterator<Item = Fate>) {
        self.network.state().script.extend(fates);
    }

    /// How many fates of the script are left.
    pub(crate) fn script_left(&self) -> usize {
        self.network.state().script.len()
    }

    /// Waits for the next exchange whose fate is [`Fate::Hold`].
    pub(crate) async fn next_held(&self) -> Held {
        let mut held = self.held.lock().await;
        let next =
            tokio::time::timeout(HELD_TIMEOUT, held.recv()).await.expect("an exchange is held back in time");
        next.expect("the network lives as long as its handle")
    }

    /// What has passed so far.
    pub(crate) fn counts(&self) -> Counts {
        self.network.state().counts.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        if std::thread::panicking()
            && let Some(seed) = self.network.state().seed
        {
            eprintln!("the network's seed was {seed}: TRAITWIRE_TEST_SEED={seed}");
        }
    }
}

/// Serves connections until it is aborted, which ends them too.
async fn accept(listener: TcpListener, network: Arc<Network>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        // A connection that was gone before it was accepted is a loss like any other.
        let Ok((stream, _)) = accepted else { continue };
        let _slower = stream.set_nodelay(true);
        let network = Arc::clone(&network);
        let service = hyper::service::service_fn(move |request| {
            let network = Arc::clone(&network);
            // In a task of its own, an exchange does not end when the client hangs up.
            async move { tokio::spawn(network.exchange(request)).await.unwrap_or(Err(Lost)) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // The service fails on purpose: that closes the connection without a response.
            let _lost = connection.await;
        });
    }
}

/// The client gets no response.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost by the network")
    }
}

impl std::error::Error for Lost {}

struct Network {
    state: Mutex<State>,
    client: reqwest::Client,
    hold: mpsc::UnboundedSender<Held>,
}

struct State {
    target: String,
    config: NetworkConfig,
    /// What `random` began with, where the proxy is to print it.
    seed: Option<u64>,
    random: fastrand::Rng,
    script: VecDeque<Fate>,
    blocked: BTreeSet<u64>,
    cut: bool,
    counts: Counts,
}

/// A request as it is sent on, perhaps twice.
#[derive(Clone)]
struct Message {
    client: Option<u64>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    async fn exchange(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Lost> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
        let message = Message::new(parts, body);
        let plan = self.state().begin(&message);
        let fate = if plan.fate == Fate::Hold { self.hold_back().await } else { plan.fate };
        pause(plan.request_delay).await;
        if fate == Fate::DropRequest {
            return Err(Lost);
        }
        if self.state().is_cut_off(message.client) {
            tokio::time::sleep(plan.cut_delay).await;
            return Err(Lost);
        }
        self.state().counts.delivered += 1;
        let client = message.client;
        let response = self.forward(message.clone()).await?;
        if let Some(after) = plan.copy_after {
            // Not before the first is done: a copy that overtakes it would let a server refuse what it has just done.
            tokio::spawn(Arc::clone(&self).deliver_copy(message, after));
        }
        if fate == Fate::DropReply {
            // The loss shows only when the server is done, so the work is.
            let _done = response.bytes().await;
            self.state().counts.replies_lost += 1;
            return Err(Lost);
        }
        pause(plan.reply_delay).await;
        if self.state().is_cut_off(client) {
            self.state().counts.replies_lost += 1;
            return Err(Lost);
        }
        Ok(self.reply(response))
    }

    async fn hold_back(&self) -> Fate {
        let (decision, decided) = oneshot::channel();
        // Without a test that waits, an exchange held back is lost.
        let _nobody = self.hold.send(Held { decision });
        decided.await.unwrap_or(Fate::DropRequest)
    }

    async fn deliver_copy(self: Arc<Self>, message: Message, after: Duration) {
        tokio::time::sleep(after).await;
        if self.state().is_cut_off(message.client) {
            return;
        }
        if let Ok(response) = self.forward(message).await {
            let _unread = response.bytes().await;
            self.state().counts.duplicates += 1;
        }
    }

    async fn forward(&self, message: Message) -> Result<reqwest::Response, Lost> {
        let url = format!("{}{}", self.state().target, message.path);
        let request = self.client.request(message.method, url).headers(message.headers).body(message.body);
        request.send().await.map_err(|_| Lost)
    }

    /// Passes the response on as it comes.
    fn reply(self: &Arc<Self>, response: reqwest::Response) -> Response<Body> {
        let (mut parts, body) = Response::<reqwest::Body>::from(response).into_parts();
        remove_connection_headers(&mut parts.headers);
        let network = Arc::clone(self);
        let counted = body.map_frame(move |frame| {
            network.state().counts.reply_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            frame
        });
        Response::from_parts(parts, Body::new(counted))
    }
}

impl Message {
    fn new(parts: request::Parts, body: Bytes) -> Self {
        let id = parts.headers.get("x-client-id").and_then(|id| id.to_str().ok());
        let mut headers = parts.headers.clone();
        headers.remove(header::HOST);
        remove_connection_headers(&mut headers);
        Self {
            client: id.and_then(|id| id.parse().ok()),
            method: parts.method,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers,
            body,
        }
    }

    /// How many calls it carries.
    fn calls(&self) -> u64 {
        if self.path != "/" {
            return 1;
        }
        serde_json::from_slice::<Vec<IgnoredAny>>(&self.body).map_or(1, |batch| batch.len() as u64)
    }
}

/// Sleeps, but not at all for nothing: the shortest sleep of a timer takes a millisecond.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Removes what describes a connection and not the message: the proxy's connections are others.
fn remove_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

impl State {
    /// Counts an exchange and draws what will become of it.
    fn begin(&mut self, message: &Message) -> Plan {
        self.counts.exchanges += 1;
        self.counts.calls += message.calls();
        self.counts.request_bytes += message.body.len() as u64;
        if let Some(client) = message.client {
            *self.counts.exchanges_of.entry(client).or_default() += 1;
        }
        let Self { config, random, script, .. } = self;
        let drawn = config.draw(random);
        Plan { fate: script.pop_front().unwrap_or(drawn.fate), ..drawn }
    }

    fn is_cut_off(&self, client: Option<u64>) -> bool {
        self.cut || client.is_some_and(|client| self.blocked.contains(&client))
    }
}

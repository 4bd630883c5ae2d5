//! `traitwire serve`.

mod join;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::sync::oneshot;
use tokio::time::timeout;
use traitwire::{AllowedHost, AllowedOrigin, HttpServer, Probe, raise_descriptor_limit};
use traitwire_kv::kv_raft::raft::storage::{IdentityFile, RealDisk};
use traitwire_kv::kv_raft::rsm::{ConfigError, NodeConfig, RaftTiming, RsmOptions};
use traitwire_kv::kv_raft::server::Node;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;
use traitwire_kv::services::raft::ClusterId;
use traitwire_kv::url::ServerUrl;

use self::join::Joining;
use super::Failure;
use super::output::print_line;
use super::signals::{Signals, stdin_closed};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long it may take to resolve the name in `--listen`.
const RESOLVE_TIME: Duration = Duration::from_secs(10);

/// When a node that is stopping ends at the latest, even if its disk hangs.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Serve the key-value store: one node, alone or of a cluster.
///
/// The first line on standard output is a JSON object with the node's URL, once it listens. Log lines go to standard error;
/// RUST_LOG selects them (for example RUST_LOG=warn).
///
/// SIGTERM, SIGINT, SIGQUIT and SIGHUP stop the node: it hands leadership over, answers the calls under way, and exits with
/// code 0. A second signal ends it at once, with code 128 + its number; nothing that was acknowledged is lost. A node that was
/// started with `nohup` ignores SIGHUP.
///
/// Exit codes: 0 after a signal, 1 if the data cannot be used, the address is taken or the disk fails, 2 for wrong arguments.
#[derive(clap::Args)]
pub(super) struct Serve {
    /// This node's id. A data folder knows the id of its node; without one, the default is 1.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    id: Option<u64>,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7101", value_parser = listen_address)]
    listen: String,
    /// All nodes of a new cluster, including this one. The first start founds the cluster once all of them can be reached; without
    /// this, it founds a cluster of one. Later starts need it only for nodes that have moved to another URL: who belongs to the
    /// cluster is in the data folder.
    #[arg(long, value_name = "1=URL,2=URL,…", value_delimiter = ',', value_parser = peer)]
    peers: Vec<(u64, ServerUrl)>,
    /// Found the cluster as soon as a majority of --peers can be reached and is empty. The other nodes are members once they
    /// appear. Ignored by a node that has data.
    #[arg(long, requires = "peers")]
    bootstrap: bool,
    /// The folder of the node's data.
    #[arg(long, value_name = "DIR", default_value = "./traitwire-data")]
    data: PathBuf,
    /// Join the cluster that the node at this URL belongs to. A node with an empty folder takes the name of the cluster and a free
    /// id from it, and waits until it is added: see `member add` and `member replace`. Ignored by a node that has data.
    #[arg(long, value_name = "URL", conflicts_with_all = ["peers", "bootstrap", "memory"])]
    join: Option<ServerUrl>,
    /// The name of the cluster, the same on all its nodes. A data folder knows it, and so does the cluster of --join; otherwise the
    /// default is `traitwire`.
    #[arg(long)]
    cluster: Option<String>,
    /// Keep nothing on disk: the keys are gone when the process ends. For trying out; a single server only.
    #[arg(long, conflicts_with_all = ["peers", "data"])]
    memory: bool,
    /// Stop when standard input is closed, as it is when the process that started this one ends.
    #[arg(long)]
    stop_with_stdin: bool,
    #[command(flatten)]
    options: NodeOptions,
}

/// Options that are the same for every node of a cluster; `cluster` passes them on.
#[derive(clap::Args, Clone)]
pub(super) struct NodeOptions {
    /// Take a snapshot once the log reaches this size. Large states are saved less often (at up to four times the size), and up
    /// to a quarter is subtracted at random. 0 disables snapshots.
    #[arg(long, value_name = "BYTES", default_value_t = RsmOptions::default().snapshot_log_bytes)]
    snapshot_log_bytes: usize,
    /// Let web pages of this origin use the store, such as https://example.com. Pages of other origins are refused, except
    /// those that the node itself shows. May be given more than once.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<AllowedOrigin>,
    /// Let the node be called by this host name. Requests to a loopback address, and those of web pages, must otherwise name
    /// an IP address, `localhost` or a host in --peers. May be given more than once.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<AllowedHost>,
    /// How long a node goes without hearing of a leader before it campaigns, randomized between this and twice this. Nodes
    /// wait longer by themselves where a round trip to a majority takes long.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = time)]
    election_timeout: Duration,
    /// How often a leader lets the other nodes hear of it; at most half the election timeout.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    heartbeat: Duration,
}

/// Reads a time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| "write a whole number and a unit: 200ms or 2s")?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err("write a whole number and a unit: 200ms or 2s".to_owned()),
    }
}

impl NodeOptions {
    /// The same options as arguments of `serve`.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let time = |time: Duration| format!("{}ms", time.as_millis());
        let options = [
            ("--snapshot-log-bytes", self.snapshot_log_bytes.to_string()),
            ("--election-timeout", time(self.election_timeout)),
            ("--heartbeat", time(self.heartbeat)),
        ];
        let options = options.into_iter().flat_map(|(name, value)| [name.into(), value.into()]);
        let mut arguments: Vec<OsString> = options.collect();
        for origin in &self.allow_origin {
            arguments.extend(["--allow-origin".into(), origin.to_string().into()]);
        }
        for host in &self.allow_host {
            arguments.extend(["--allow-host".into(), host.to_string().into()]);
        }
        arguments
    }

    /// Lets the listed origins and hosts use the server.
    fn allow(&self, mut server: HttpServer) -> HttpServer {
        for origin in &self.allow_origin {
            server = server.allow_origin(origin.clone());
        }
        for host in &self.allow_host {
            server = server.allow_host(host.clone());
        }
        server
    }
}

fn peer(text: &str) -> Result<(u64, ServerUrl), String> {
    let (id, url) = text.split_once('=').ok_or("write ID=URL, such as 1=http://127.0.0.1:7101")?;
    let valid = id.parse().ok().filter(|id| *id > 0);
    let id = valid.ok_or_else(|| format!("`{id}` is not a valid node id: ids are whole numbers from 1"))?;
    Ok((id, url.parse().map_err(|error| format!("{error}"))?))
}

/// Checks what can be checked before names are resolved.
fn listen_address(text: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_err() {
        let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT, such as 127.0.0.1:7101")?;
        if host.is_empty() || host.contains(['/', ':', '[', ' ']) {
            return Err(format!("`{host}` is not a valid host: write HOST:PORT, such as 127.0.0.1:7101"));
        }
        port.parse::<u16>().map_err(|_| format!("`{port}` is not a valid port: ports are 0 to 65535"))?;
    }
    Ok(text.to_owned())
}

/// The host of a URL.
fn host(url: &str) -> Option<AllowedHost> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split('/').next()?.parse().ok()
}

/// Which node is to be served.
struct Who {
    id: u64,
    cluster: String,
    /// The cluster that an empty node is to join.
    join: Option<ClusterId>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let mut config = self.config().await?;
        // The limit is not raised for the child processes of other commands, which may use `select`.
        raise_descriptor_limit();
        // Bound but not listening yet: a taken address is noticed before the data is touched, and a client cannot connect
        // before the data has turned out to be usable.
        let socket = self.bind().await?;
        if self.memory {
            let server = self.options.allow(HttpServer::new(KvServer::new(SingleKvServer::new())));
            let (listener, shutdown) = self.listen(socket, &config)?;
            tracing::warn!("serving from memory: the keys are gone when this process ends");
            return server.serve(listener, shutdown).await.map(|()| 0).map_err(Failure::new);
        }
        config.url = own_url(&socket);
        let id = config.id;
        let node = Arc::new(Node::start(&config).map_err(Failure::new)?);
        let (listener, shutdown) = self.listen(socket, &config)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let server = self.allow_peers(self.options.allow(server(&node, &stopping)), node.clone());
        let shutdown = async {
            shutdown.await;
            stopping.store(true, Ordering::Relaxed);
            // Before connections end: what waits is answered, and the others hear from the new leader.
            node.stop().await;
        };
        tokio::select! {
            served = server.serve(listener, shutdown) => served.map_err(Failure::new)?,
            ended = node.failed() => return Err(Failure::new(ended)),
        }
        tracing::info!(id, "stopped");
        Ok(0)
    }

    /// The settings of the node, if the arguments agree with each other.
    async fn config(&self) -> Result<NodeConfig, Failure> {
        let mut peers = BTreeMap::new();
        for (id, url) in &self.peers {
            if let Some(first) = peers.insert(*id, url.to_string()) {
                let message = format!("--peers lists node {id} twice: as {first} and as {url}");
                return Err(Failure::with_code(2, message));
            }
        }
        let Who { id, cluster, join } = self.who().await?;
        let config = NodeConfig {
            cluster,
            id,
            peers,
            url: None,
            bootstrap: self.bootstrap,
            join,
            data: self.data.clone(),
            rsm: RsmOptions { snapshot_log_bytes: self.options.snapshot_log_bytes },
            timing: RaftTiming {
                election_timeout: self.options.election_timeout,
                heartbeat: self.options.heartbeat,
            },
        };
        config.check().map_err(|error| {
            let argument = match &error {
                ConfigError::Time { name: "heartbeat", .. } | ConfigError::Heartbeat { .. } => "--heartbeat",
                ConfigError::Time { .. } => "--election-timeout",
                ConfigError::ZeroId
                | ConfigError::Missing { .. }
                | ConfigError::Url { .. }
                | ConfigError::SharedUrl { .. } => "--peers",
            };
            Failure::with_code(2, format!("{argument}: {error}"))
        })?;
        Ok(config)
    }

    /// Which node this is: what the command line says, or else the data folder, or else the cluster that is to be joined.
    async fn who(&self) -> Result<Who, Failure> {
        let who = |id, cluster: String| Who {
            id: self.id.unwrap_or(id),
            cluster: self.cluster.clone().unwrap_or(cluster),
            join: None,
        };
        if !self.memory
            && let Some(found) = IdentityFile::read(&RealDisk::view(&self.data)).map_err(Failure::new)?
        {
            return Ok(who(found.node, found.cluster));
        }
        let Some(url) = &self.join else { return Ok(who(1, "traitwire".to_owned())) };
        let Joining { id, cluster, cluster_id } = join::ask(url, self.id, self.cluster.as_deref()).await?;
        Ok(Who { id, cluster, join: Some(cluster_id) })
    }

    /// Lets the node be called as the other nodes call it. Their names may lead to a loopback address.
    fn allow_peers(&self, server: HttpServer, node: Arc<Node>) -> HttpServer {
        let listed = self.peers.iter().filter_map(|(_, url)| host(url.as_str()));
        let server = listed.fold(server, HttpServer::allow_host);
        server.allow_changing_hosts(move || node.member_urls().iter().filter_map(|url| host(url)).collect())
    }

    async fn bind(&self) -> Result<TcpSocket, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(format!("cannot listen on {}: {error}", self.listen))
        };
        let resolved = timeout(RESOLVE_TIME, lookup_host(&self.listen)).await;
        let addresses = resolved.map_err(|_| cannot(&"its name is not resolved in time"))?;
        let mut failed = None;
        for address in addresses.map_err(|error| cannot(&error))? {
            match bound(address) {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(|| cannot(&"its name has no address"), |error| cannot(&error)))
    }

    /// Listens, reports where, and returns what waits until the process is to stop.
    fn listen(
        &self,
        socket: TcpSocket,
        config: &NodeConfig,
    ) -> Result<(TcpListener, impl Future<Output = ()> + use<>), Failure> {
        let cannot = |error| Failure::new(format!("cannot listen on {}: {error}", self.listen));
        let signals = Signals::new().map_err(Failure::new)?;
        let closed = stdin_closed(self.stop_with_stdin).map_err(Failure::new)?;
        let listener = socket.listen(BACKLOG).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let event = json!({ "event": "listening", "id": config.id, "url": format!("http://{address}") });
        // Serving does not depend on whether somebody reads the line.
        let _unread = print_line(event);
        self.log_start(address, config);
        Ok((listener, stop_requested(signals, closed)))
    }

    fn log_start(&self, address: SocketAddr, config: &NodeConfig) {
        let version = env!("CARGO_PKG_VERSION");
        if self.memory {
            tracing::info!(version, listen = %address, "started");
            return;
        }
        let peers: Vec<_> = self.peers.iter().map(|(id, url)| format!("{id}={url}")).collect();
        let (peers, data) = (peers.join(","), self.data.display());
        let (id, cluster) = (config.id, &config.cluster);
        tracing::info!(version, id, cluster, listen = %address, %data, peers, "started");
    }
}

/// The URL at which other nodes reach a socket, if its address says that.
fn own_url(socket: &TcpSocket) -> Option<String> {
    let address = socket.local_addr().ok()?;
    (!address.ip().is_unspecified()).then(|| format!("http://{address}"))
}

fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process that are not quite gone must not keep this one from its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The node's services with its status and its health.
fn server(node: &Arc<Node>, stopping: &Arc<AtomicBool>) -> HttpServer {
    let (status, disk, leader, log) = (node.clone(), node.clone(), node.clone(), node.clone());
    let member = node.clone();
    let stopping = stopping.clone();
    HttpServer::new(node.services())
        .reserve("raft.")
        .page("status", move || serde_json::to_vec(&status.status()).unwrap_or_default())
        .health_check(Probe::Live, "disk", move || disk.check_disk())
        .health_check(Probe::Ready, "leader", move || leader.check_leader())
        .health_check(Probe::Ready, "log", move || log.check_log())
        .health_check(Probe::Ready, "member", move || member.check_member())
        .health_check(Probe::Ready, "shutdown", move || match stopping.load(Ordering::Relaxed) {
            true => Err("the node is stopping".to_owned()),
            false => Ok(()),
        })
}

/// Waits until the process is to stop. From then on a second signal ends it at once, and so does a stop that takes too long.
async fn stop_requested(mut signals: Signals, closed: impl Future<Output = ()> + Send + 'static) {
    let (request, requested) = oneshot::channel();
    tokio::spawn(async move {
        let reason = tokio::select! {
            signal = signals.next() => signal.name,
            () = closed => "standard input was closed",
        };
        tracing::info!(reason, "stopping");
        end_after(STOP_TIME);
        let _gone = request.send(());
        let signal = signals.next().await;
        tracing::warn!(reason = signal.name, "ending at once");
        std::process::exit(signal.exit_code().into());
    });
    // The task does not end before it has sent.
    let _requested = requested.await;
}

/// Ends the process after a time, whatever its tasks wait for then.
fn end_after(time: Duration) {
    let end = move || {
        std::thread::sleep(time);
        tracing::error!("the node did not stop within {time:?}: its disk may hang");
        std::process::exit(1);
    };
    if let Err(error) = std::thread::Builder::new().name("stop-timer".to_owned()).spawn(end) {
        tracing::warn!(%error, "the time to stop is not limited");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_are_checked() {
        for text in ["127.0.0.1:7101", "[::1]:0", "0.0.0.0:65535", "localhost:7101", "node-1.internal:1"] {
            assert_eq!(listen_address(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "7101",
            ":7101",
            "127.0.0.1",
            "localhost:",
            "a:65536",
            "a:-1",
            "a:x",
            "::1:7101",
            "http://a:1",
        ] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn peers_are_checked() {
        assert_eq!(
            peer("7=http://a:1").map(|(id, url)| (id, url.to_string())),
            Ok((7, "http://a:1".to_owned()))
        );
        for (text, reason) in [
            ("http://a:1", "write ID=URL"),
            ("0=http://a:1", "`0` is not a valid node id"),
            ("-1=http://a:1", "`-1` is not"),
            ("18446744073709551616=http://a:1", "is not a valid node id"),
            ("1=a:1", "no scheme"),
            ("1=https://a:1", "`https` is not supported"),
        ] {
            let error = peer(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

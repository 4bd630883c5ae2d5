//! `traitwire serve`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use traitwire::HttpServer;
use traitwire_kv::kv_raft::rsm::{NodeConfig, RsmOptions};
use traitwire_kv::kv_raft::server::Node;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;

use super::Failure;
use super::output::{note, print_line};

/// Exit code 0 after SIGTERM or Ctrl-C, 1 when the data cannot be used or the disk fails.
#[derive(clap::Args)]
pub(super) struct Serve {
    /// This node's id.
    #[arg(long, default_value_t = 1)]
    id: u64,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7101")]
    listen: String,
    /// All nodes of the cluster, this one included. Without it, the node is a cluster of one.
    #[arg(long, value_name = "1=URL,2=URL,…", value_delimiter = ',', value_parser = peer)]
    peers: Vec<(u64, String)>,
    /// The folder of the node's data.
    #[arg(long, value_name = "DIR", default_value = "./traitwire-data")]
    data: PathBuf,
    /// The name of the cluster, the same on all its nodes.
    #[arg(long, default_value = "traitwire")]
    cluster: String,
    /// After how many bytes of log a snapshot takes its place: so many, or where the last snapshot is larger as many as that
    /// has, up to four times so many, and up to a quarter less by lot; 0 for never.
    #[arg(long, value_name = "BYTES", default_value_t = RsmOptions::default().snapshot_log_bytes)]
    snapshot_log_bytes: usize,
    /// Keep nothing on disk: the keys are gone when the process ends. For trying out; a single server only.
    #[arg(long, conflicts_with_all = ["peers", "data"])]
    memory: bool,
}

fn peer(text: &str) -> Result<(u64, String), String> {
    let (id, url) = text.split_once('=').ok_or("write ID=URL")?;
    let id = id.parse().map_err(|error| format!("`{id}` is no node's id: {error}"))?;
    if id == 0 {
        return Err("ids begin at 1".to_owned());
    }
    Ok((id, url.to_owned()))
}

impl Serve {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        if self.memory {
            let server = HttpServer::new(KvServer::new(SingleKvServer::new()));
            let (listener, shutdown) = self.listen().await?;
            note("traitwire: serving from memory: the keys are gone when this process ends");
            server.serve(listener, shutdown).await.map_err(Failure::new)?;
            return Ok(0);
        }
        let peers: BTreeMap<_, _> = self.peers.iter().cloned().collect();
        if peers.len() != self.peers.len() {
            return Err(Failure::with_code(2, "--peers names an id twice"));
        }
        if !peers.is_empty() && !peers.contains_key(&self.id) {
            return Err(Failure::with_code(2, format!("--peers does not name this node, {}", self.id)));
        }
        // The data first: who cannot serve should not look as if it did.
        let node = Arc::new(
            Node::start(&NodeConfig {
                cluster: self.cluster.clone(),
                id: self.id,
                peers,
                data: self.data.clone(),
                rsm: RsmOptions { snapshot_log_bytes: self.snapshot_log_bytes },
            })
            .map_err(Failure::new)?,
        );
        let (listener, shutdown) = self.listen().await?;
        let status = node.clone();
        let server = HttpServer::new(node.services())
            .page("status", move || serde_json::to_vec(&status.status()).unwrap_or_default());
        let stopping = async {
            shutdown.await;
            // Before connections end: what waits is answered, and the others hear from the new leader.
            node.stop().await;
        };
        tokio::select! {
            served = server.serve(listener, stopping) => served.map_err(Failure::new)?,
            ended = node.failed() => return Err(Failure::new(ended)),
        }
        Ok(0)
    }

    /// Listens, says where, and gives what ends when the process is told to end.
    async fn listen(&self) -> Result<(TcpListener, impl Future<Output = ()> + use<>), Failure> {
        let cannot = |error| Failure::new(format!("cannot listen on {}: {error}", self.listen));
        let listener = TcpListener::bind(&self.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let event = json!({ "event": "listening", "id": self.id, "url": format!("http://{address}") });
        // Whoever started this process waits for the line; that nobody reads it is no reason not to serve.
        let _unread = print_line(event);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        Ok((listener, shutdown))
    }
}

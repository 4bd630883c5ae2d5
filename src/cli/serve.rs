//! `traitwire serve`.

use std::io::Write;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;

use super::Failure;

#[derive(clap::Args)]
pub(super) struct Serve {
    /// This node's id.
    #[arg(long, default_value_t = 1)]
    id: u64,
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7101")]
    listen: String,
}

impl Serve {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let cannot = |error| Failure::new(format!("cannot listen on {}: {error}", self.listen));
        let listener = TcpListener::bind(&self.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
        let event = json!({ "event": "listening", "id": self.id, "url": format!("http://{address}") });
        // Whoever started this process waits for the line; that nobody reads it is no reason not to serve.
        let _unread = writeln!(std::io::stdout(), "{event}");
        eprintln!("traitwire: serving from memory: the keys are gone when this process ends");
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        traitwire::serve(listener, KvServer::new(SingleKvServer::new()), shutdown)
            .await
            .map_err(Failure::new)?;
        Ok(0)
    }
}

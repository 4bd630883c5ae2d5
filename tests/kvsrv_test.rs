//! The key-value service on one server and the lock on top, each server a process, each client behind a network of its
//! own making, and each history checked to be linearizable.

#![allow(clippy::unwrap_used)]

mod common;

#[path = "kvsrv/basics.rs"]
mod basics;
#[path = "kvsrv/faults.rs"]
mod faults;
#[path = "kvsrv/lock.rs"]
mod lock;
#[path = "kvsrv/lock_scripted.rs"]
mod lock_scripted;
#[path = "kvsrv/race.rs"]
mod race;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::history::{RecordedClient, Recorder};
use common::network::NetworkConfig;
use common::process::ServerProcess;
use common::proxy::Proxy;
use traitwire::RpcClient;
use traitwire_kv::kv_single::client::SingleKvClient;

/// A server, a network in front of it, and the record of all clients.
struct Setting {
    server: ServerProcess,
    proxy: Proxy,
    recorder: Arc<Recorder>,
    clients: AtomicU64,
}

impl Setting {
    async fn start(config: NetworkConfig) -> Self {
        let server = ServerProcess::start(["--memory"]).await;
        let proxy = Proxy::start(server.url(), config).await;
        Self { server, proxy, recorder: Recorder::new(), clients: AtomicU64::new(0) }
    }

    /// A new client on this network.
    fn client(&self) -> Arc<RecordedClient> {
        self.client_at(self.proxy.url())
    }

    /// A new client with a perfect line to the server.
    fn client_beside_the_network(&self) -> Arc<RecordedClient> {
        self.client_at(self.server.url())
    }

    fn client_at(&self, url: &str) -> Arc<RecordedClient> {
        let id = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        let rpc = RpcClient::new(url.to_owned(), usize::try_from(id).unwrap());
        self.recorder.client(id, SingleKvClient::new(rpc))
    }
}

/// Gives the future's result, or fails the test where it would wait for ever.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nobody waits for ever")
}

//! What a server remembers of its clients, by the allocator's own count: a process's resident memory goes in steps,
//! and reuses what was freed, so that it would not show a few bytes a client.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::ops::Range;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use traitwire::{HttpServer, KvClient, RpcClient};
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::kv_single::server::SingleKvServer;
use traitwire_kv::services::kv::KvServer;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WORKERS: usize = 4;
const VALUE_BYTES: usize = 1_000;

/// Each worker plays one client after the other, on a key of its own.
async fn play(url: &str, clients: Range<usize>) {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (url, clients) = (url.to_owned(), clients.clone().skip(worker).step_by(WORKERS));
        workers.spawn(async move {
            let key = format!("key {worker}");
            let value = "x".repeat(VALUE_BYTES);
            for id in clients {
                let kv = SingleKvClient::new(RpcClient::new(url.clone(), id));
                assert_eq!(kv.put(&key, &value, (id / WORKERS) as u64).await, Ok(()));
            }
        });
    }
    workers.join_all().await;
}

/// Bytes that are allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// K15: once a client's call is answered and its connection closed, the server keeps nothing of it.
#[tokio::test]
async fn a_server_forgets_its_clients() {
    const CLIENTS: usize = 20_000;
    const BYTES_PER_CLIENT: usize = 10;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = HttpServer::new(KvServer::new(SingleKvServer::new()));
    tokio::spawn(server.serve(listener, std::future::pending()));
    play(&url, 0..1_000).await;
    let before = allocated();
    play(&url, 1_000..1_000 + CLIENTS).await;
    let growth = allocated().saturating_sub(before);
    assert!(growth <= CLIENTS * BYTES_PER_CLIENT, "{CLIENTS} clients left {growth} bytes behind");
}

//! The single server as a process of its own, behind a network that loses: what clients see is linearizable.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::history::Recorder;
use common::network::NetworkConfig;
use common::process::ServerProcess;
use common::proxy::Proxy;
use traitwire::{KVError, KvClient, RpcClient};
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::lock::Lock;

/// How long clients race in each test.
const RACE: Duration = Duration::from_secs(3);

async fn start(config: NetworkConfig) -> (ServerProcess, Proxy) {
    let server = ServerProcess::start::<&str>([]).await;
    let proxy = Proxy::start(server.url(), config).await;
    (server, proxy)
}

fn client(proxy: &Proxy, id: usize) -> SingleKvClient {
    SingleKvClient::new(RpcClient::new(proxy.url().to_owned(), id))
}

/// Clients that put at the version they last saw; gives how often they were told `Ok` and `Maybe`.
async fn race(config: NetworkConfig, clients: usize) -> (u64, u64, u64) {
    let (_server, proxy) = start(config).await;
    let recorder = Recorder::new();
    let end = Instant::now() + RACE;
    let racing: Vec<_> = (0..clients)
        .map(|id| {
            let kv = recorder.client(id as u64, client(&proxy, id));
            tokio::spawn(async move {
                let (mut ok, mut maybe) = (0, 0);
                while Instant::now() < end {
                    let version = kv.get("k").await.map_or(0, |(_, version)| version);
                    match kv.put("k", &format!("{id}-{ok}-{maybe}"), version).await {
                        Ok(()) => ok += 1,
                        Err(KVError::Maybe) => maybe += 1,
                        Err(KVError::Version | KVError::NoKey) => {}
                    }
                }
                (ok, maybe)
            })
        })
        .collect();
    let (mut ok, mut maybe) = (0, 0);
    for racer in racing {
        let counts = racer.await.unwrap();
        ok += counts.0;
        maybe += counts.1;
    }
    let (_, version) = recorder.client(clients as u64, client(&proxy, clients)).get("k").await.unwrap();
    recorder.check();
    (ok, maybe, version)
}

/// K8: on a reliable network the version counts the puts, and nothing is ever `Maybe`.
#[tokio::test(flavor = "multi_thread")]
async fn racing_clients_on_a_reliable_network_count_exactly() {
    let (ok, maybe, version) = race(NetworkConfig::reliable(), 5).await;
    assert_eq!((version, maybe), (ok, 0));
}

/// K9: on a lossy one the version lies between what was surely and what was perhaps put.
#[tokio::test(flavor = "multi_thread")]
async fn racing_clients_on_an_unreliable_network_count_within_their_doubts() {
    let (ok, maybe, version) = race(NetworkConfig::unreliable(), 5).await;
    assert!(ok <= version && version <= ok + maybe, "{ok} Ok, {maybe} Maybe, version {version}");
}

/// K10: one client over U50: every round adds one, the value is that of the round, and some round ends in `Maybe`.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_on_an_unreliable_network_puts_once_a_round() {
    let (_server, proxy) = start(NetworkConfig::unreliable()).await;
    let recorder = Recorder::new();
    let kv = recorder.client(0, client(&proxy, 0));
    let mut maybe = 0;
    for round in 0..100 {
        match kv.put("k", &round.to_string(), round).await {
            Ok(()) => {}
            Err(KVError::Maybe) => maybe += 1,
            Err(error) => panic!("round {round}: {error}"),
        }
        assert_eq!(kv.get("k").await, Ok((round.to_string(), round + 1)));
    }
    assert!(maybe > 0, "no reply was lost in 100 rounds");
    recorder.check();
}

/// L6: over U50 the lock never lets two in, and each client gets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_an_unreliable_network_admits_one_at_a_time() {
    let (_server, proxy) = start(NetworkConfig::unreliable()).await;
    let inside = Arc::new(tokio::sync::Semaphore::new(1));
    let workers: Vec<_> = (0..4)
        .map(|id| {
            let lock = Lock::new(Arc::new(client(&proxy, id)), "lock");
            let inside = Arc::clone(&inside);
            tokio::spawn(async move {
                for _ in 0..3 {
                    lock.acquire().await;
                    let alone = inside.try_acquire().expect("two are inside the lock");
                    tokio::task::yield_now().await;
                    drop(alone);
                    lock.release().await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

//! `traitwire demo`: the system in a quarter of a minute, on real processes and sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use traitwire::{KvClient, RpcClient};
use traitwire_kv::call::CallError;
use traitwire_kv::index::SERVICES;
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::lock::Lock;
use traitwire_kv::services::rsm::{Rsm, RsmStub};
use traitwire_schema::Catalogue;

use super::Failure;
use super::child::Nodes;
use super::output::print_line;

/// How many nodes.
const NODES: usize = 3;
/// How long any step may take.
const STEP_TIME: Duration = Duration::from_secs(10);
/// How many workers contend for the lock.
const WORKERS: usize = 8;
/// How many puts are made after the leader was killed.
const PUTS: u64 = 100;

pub(super) async fn run() -> Result<u8, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    let mut nodes = Nodes::start_anywhere(NODES, folder.path()).await?;
    print_line(format_args!("1. a cluster of {NODES} nodes, each a process of its own:"))?;
    for (id, child) in nodes.running() {
        print_line(format_args!("   node {id} (pid {}) serves {}", child.pid(), child.url()))?;
    }
    let kv = ClusterKvClient::new(nodes.urls(), 1);
    versions(&kv).await?;
    json(&nodes).await?;
    failover(&mut nodes, &kv).await?;
    lock(&nodes).await?;
    schema()?;
    nodes.stop().await?;
    print_line("all of it held")?;
    Ok(0)
}

async fn versions(kv: &ClusterKvClient) -> Result<(), Failure> {
    kv.try_put("greeting", "hello", 0, STEP_TIME).await.map_err(Failure::new)?;
    kv.try_put("greeting", "hello, world", 1, STEP_TIME).await.map_err(Failure::new)?;
    let stale = kv.try_put("greeting", "too late", 1, STEP_TIME).await;
    if stale != Err(CallError::OtherVersion { version: 2 }) {
        return Err(Failure::new(format!("a stale put was not refused: {stale:?}")));
    }
    let found = kv.try_get("greeting", STEP_TIME).await.map_err(Failure::new)?;
    if found != ("hello, world".to_owned(), 2) {
        return Err(Failure::new(format!("a get found {found:?}")));
    }
    print_line(format_args!(
        "2. two puts, a stale one refused, and a get: {:?} at version {}",
        found.0, found.1
    ))?;
    Ok(())
}

/// Any node answers, whether it leads or not.
async fn json(nodes: &Nodes) -> Result<(), Failure> {
    let arguments = serde_json::json!({ "key": "greeting" });
    print_line("3. the same in JSON, from any node:")?;
    for url in nodes.urls() {
        let client = RpcClient::new(url.clone(), 1);
        let reply: serde_json::Value = client.try_call("get", &arguments).await.map_err(Failure::new)?;
        print_line(format_args!("   curl -d '{arguments}' {url}/get\n   {reply}"))?;
    }
    Ok(())
}

/// Kills the leader and sees the service go on, with all that it has acknowledged.
async fn failover(nodes: &mut Nodes, kv: &ClusterKvClient) -> Result<(), Failure> {
    let leader = leader(nodes).await?;
    nodes.kill(leader).await?;
    let killed = Instant::now();
    for version in 0..PUTS {
        kv.try_put("after", &version.to_string(), version, STEP_TIME).await.map_err(Failure::new)?;
        if version == 0 {
            print_line(format_args!(
                "4. node {leader}, the leader, is killed; the next put took {} ms",
                killed.elapsed().as_millis()
            ))?;
        }
    }
    let found = kv.try_get("greeting", STEP_TIME).await.map_err(Failure::new)?;
    if found.1 != 2 {
        return Err(Failure::new(format!("an acknowledged put is gone: {found:?}")));
    }
    print_line(format_args!("   {PUTS} puts on the {} nodes left, and nothing is lost", NODES - 1))?;
    Ok(())
}

async fn leader(nodes: &Nodes) -> Result<u64, Failure> {
    for url in nodes.urls() {
        let status = RsmStub::new(RpcClient::new(url, 1)).status().await.map_err(Failure::new)?;
        if let Some(leader) = status.leader {
            return Ok(leader);
        }
    }
    Err(Failure::new("no node knows a leader"))
}

/// Workers count up a key under the lock, without looking at versions: any two inside at once would lose a step.
async fn lock(nodes: &Nodes) -> Result<(), Failure> {
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let kv: Arc<dyn KvClient> = Arc::new(ClusterKvClient::new(nodes.urls(), worker));
            tokio::spawn(async move {
                let lock = Lock::new(Arc::clone(&kv), "demo-lock");
                lock.acquire().await;
                let (count, version) = kv.get("count").await.unwrap_or(("0".to_owned(), 0));
                let next = count.parse::<usize>().unwrap_or_default() + 1;
                let written = kv.put("count", &next.to_string(), version).await;
                lock.release().await;
                written
            })
        })
        .collect();
    for worker in workers {
        let written = tokio::time::timeout(STEP_TIME, worker)
            .await
            .map_err(|_| Failure::new("a worker did not get the lock in time"))?
            .map_err(Failure::new)?;
        written.map_err(|error| Failure::new(format!("two workers were inside the lock: {error}")))?;
    }
    let kv = ClusterKvClient::new(nodes.urls(), 0);
    let (count, _) = kv.try_get("count", STEP_TIME).await.map_err(Failure::new)?;
    if count != WORKERS.to_string() {
        return Err(Failure::new(format!("{WORKERS} workers counted to {count}")));
    }
    print_line(format_args!("5. {WORKERS} workers took the lock in turn and counted to {count}"))?;
    Ok(())
}

fn schema() -> Result<(), Failure> {
    let catalogue = Catalogue::new(SERVICES).map_err(Failure::new)?;
    let schema = catalogue.type_document("PutArgs").ok_or_else(|| Failure::new("no schema of PutArgs"))?;
    print_line(format_args!("6. what a put takes, from the trait that declares it:\n   {schema}"))?;
    Ok(())
}

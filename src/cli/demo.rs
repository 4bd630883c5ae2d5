//! `traitwire demo`: the system in a few seconds, on real processes and sockets.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use traitwire::{KVError, KvClient, RpcClient};
use traitwire_kv::call::CallError;
use traitwire_kv::kv_single::client::SingleKvClient;
use traitwire_kv::lock::Lock;

use super::Failure;
use super::child::Child;

/// How long any step may take.
const STEP_TIME: Duration = Duration::from_secs(10);
/// How many workers contend for the lock.
const WORKERS: usize = 8;

pub(super) async fn run() -> Result<u8, Failure> {
    let mut server = Child::start(&["serve", "--listen", "127.0.0.1:0"]).await?;
    let url = server.url().to_owned();
    println!("1. a server process (pid {}) listens on {url}", server.pid());
    let client = RpcClient::new(url.clone(), 1);
    let kv = SingleKvClient::new(client.clone());
    versions(&kv).await?;
    let reply: Value =
        client.try_call("get", &serde_json::json!({ "key": "greeting" })).await.map_err(Failure::new)?;
    println!("3. the same in JSON: curl -d '{{\"key\":\"greeting\"}}' {url}/get\n   {reply}");
    lock(&url).await?;
    server.kill().await?;
    match kv.try_get("greeting", Duration::from_millis(500)).await {
        Err(CallError::Rpc(error)) => println!("5. the server is killed, and a get says so: {error}"),
        other => return Err(Failure::new(format!("a killed server answered: {other:?}"))),
    }
    println!("all of it held");
    Ok(0)
}

async fn versions(kv: &SingleKvClient) -> Result<(), Failure> {
    kv.try_put("greeting", "hello", 0, STEP_TIME).await.map_err(Failure::new)?;
    kv.try_put("greeting", "hello, world", 1, STEP_TIME).await.map_err(Failure::new)?;
    let stale = kv.try_put("greeting", "too late", 1, STEP_TIME).await;
    if stale != Err(CallError::Kv(KVError::Version)) {
        return Err(Failure::new(format!("a stale put was not refused: {stale:?}")));
    }
    let found = kv.try_get("greeting", STEP_TIME).await.map_err(Failure::new)?;
    if found != ("hello, world".to_owned(), 2) {
        return Err(Failure::new(format!("a get found {found:?}")));
    }
    println!("2. two puts, a stale one refused, and a get: {:?} at version {}", found.0, found.1);
    Ok(())
}

/// Workers count up a key under the lock, without looking at versions: any two inside at once would lose a step.
async fn lock(url: &str) -> Result<(), Failure> {
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let kv: Arc<dyn KvClient> = Arc::new(SingleKvClient::new(RpcClient::new(url.to_owned(), worker)));
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
    let kv = SingleKvClient::new(RpcClient::new(url.to_owned(), 0));
    let (count, _) = kv.try_get("count", STEP_TIME).await.map_err(Failure::new)?;
    if count != WORKERS.to_string() {
        return Err(Failure::new(format!("{WORKERS} workers counted to {count}")));
    }
    println!("4. {WORKERS} workers took the lock in turn and counted to {count}");
    Ok(())
}

//! Load on a store of versioned keys: workers that read and write keys of their own.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::task::JoinSet;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use super::cluster::Cluster;
use super::load;
use super::sample::Sample;

/// How long a call may take before it counts as an error.
pub const CALL_TIME: Duration = Duration::from_secs(5);

/// A client of a store; clones are the same client.
pub trait Store: Clone + Send + Sync + 'static {
    /// Writes a value if the key is at this version.
    fn put(&self, key: &str, value: &str, version: u64) -> impl Future<Output = Result<()>> + Send;

    /// The value of a key and its version, as of now: it is no older than any put that has ended.
    fn get(&self, key: &str) -> impl Future<Output = Result<(String, u64)>> + Send;
}

impl Store for ClusterKvClient {
    async fn put(&self, key: &str, value: &str, version: u64) -> Result<()> {
        Ok(self.try_put(key, value, version, CALL_TIME).await?)
    }

    async fn get(&self, key: &str) -> Result<(String, u64)> {
        Ok(self.try_get(key, CALL_TIME).await?)
    }
}

/// What workers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Op {
    /// Put if the version is the one named, which it is.
    Put,
    /// Get what was put before.
    Get,
    /// One put to every get.
    Mixed,
}

impl Op {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Mixed => "mixed",
        }
    }
}

/// How much there is.
#[derive(clap::Args, Clone, Debug)]
pub struct Size {
    /// Bytes of a value.
    #[arg(long, default_value_t = Self::default().value_bytes)]
    value_bytes: usize,
    /// Keys of each worker, who alone writes them and so knows their versions: every put names the right one.
    #[arg(long, default_value_t = Self::default().keys_per_worker, value_parser = super::positive)]
    keys_per_worker: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { value_bytes: 64, keys_per_worker: 16 }
    }
}

/// What a store is loaded with, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// What workers do.
    pub op: Op,
    /// How many operations are under way at once.
    pub concurrency: usize,
    /// How much there is.
    pub size: Size,
    /// How long the load is measured.
    pub time: Duration,
}

impl Load {
    /// Loads servers, whose processes have these ids, through these clients, which the workers share.
    pub async fn on<S: Store>(&self, clients: &[S], servers: &[u32]) -> Result<Sample> {
        let workers = workers(clients, self.op, self.concurrency, &self.size).await?;
        load::run(workers, servers, self.time).await
    }

    /// Loads a cluster of our nodes through one client.
    pub async fn on_ours(&self, cluster: &Cluster) -> Result<Sample> {
        self.on(&[ClusterKvClient::new(cluster.urls(), 1)], &cluster.pids()).await
    }
}

/// A client that reads and writes keys of its own.
pub struct Worker<S> {
    store: S,
    keys: Vec<Key>,
    value: String,
    op: Op,
    calls: usize,
}

struct Key {
    name: String,
    /// Nothing after a put whose outcome is not known.
    version: Option<u64>,
}

/// Workers whose keys all have a value; they share the stores' clients.
pub async fn workers<S: Store>(stores: &[S], op: Op, count: usize, size: &Size) -> Result<Vec<Worker<S>>> {
    let mut making = JoinSet::new();
    for worker in 0..count {
        let name = |key| format!("bench-{worker}-{key}");
        let key = |key| Key { name: name(key), version: Some(0) };
        let keys = (0..size.keys_per_worker).map(key).collect();
        let value = "v".repeat(size.value_bytes);
        let store = stores[worker % stores.len()].clone();
        let worker = Worker { store, keys, value, op, calls: 0 };
        making.spawn(worker.with_values());
    }
    making.join_all().await.into_iter().collect()
}

impl<S: Store> Worker<S> {
    async fn with_values(mut self) -> Result<Self> {
        for place in 0..self.keys.len() {
            self.put(place).await?;
        }
        Ok(self)
    }

    async fn put(&mut self, place: usize) -> Result<()> {
        let key = &mut self.keys[place];
        let version = match key.version.take() {
            Some(version) => version,
            None => self.store.get(&key.name).await?.1,
        };
        self.store.put(&key.name, &self.value, version).await?;
        key.version = Some(version + 1);
        Ok(())
    }

    async fn get(&self, place: usize) -> Result<()> {
        let key = &self.keys[place];
        let (value, version) = self.store.get(&key.name).await?;
        if value != self.value || key.version.is_some_and(|known| known != version) {
            return Err(anyhow!("{} has a value or version that nobody has put", key.name));
        }
        Ok(())
    }
}

impl<S: Store> load::Worker for Worker<S> {
    async fn call(&mut self) -> bool {
        let place = self.calls % self.keys.len();
        // A key is put and got in turn, so that a mixed load touches every key in both ways.
        let is_put = match self.op {
            Op::Put => true,
            Op::Get => false,
            Op::Mixed => (self.calls / self.keys.len()).is_multiple_of(2),
        };
        self.calls += 1;
        let done = if is_put { self.put(place).await } else { self.get(place).await };
        done.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::load::Worker as _;
    use super::*;

    /// A store that applies every third put and says that it failed.
    #[derive(Clone, Default)]
    struct Flaky(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        keys: BTreeMap<String, (String, u64)>,
        puts: u64,
    }

    impl Store for Flaky {
        async fn put(&self, key: &str, value: &str, version: u64) -> Result<()> {
            let mut state = self.0.lock().expect("no test panics while it holds this");
            state.puts += 1;
            let fails = state.puts.is_multiple_of(3);
            let entry = state.keys.entry(key.to_owned()).or_default();
            anyhow::ensure!(entry.1 == version, "version");
            *entry = (value.to_owned(), version + 1);
            anyhow::ensure!(!fails, "the answer is lost");
            Ok(())
        }

        async fn get(&self, key: &str) -> Result<(String, u64)> {
            let state = self.0.lock().expect("no test panics while it holds this");
            state.keys.get(key).cloned().ok_or_else(|| anyhow!("no key"))
        }
    }

    #[tokio::test]
    async fn a_put_that_fails_costs_no_other_one() {
        let size = Size { value_bytes: 8, keys_per_worker: 2 };
        let workers = workers(&[Flaky::default()], Op::Mixed, 1, &size).await;
        let mut worker = workers.expect("two puts go well").remove(0);
        let mut failed = 0;
        // Two puts and two gets in turn, of which puts 3, 6, 9, 12 of all fail; two were made before.
        for _ in 0..20 {
            failed += u32::from(!worker.call().await);
        }
        assert_eq!(failed, 4);
    }
}

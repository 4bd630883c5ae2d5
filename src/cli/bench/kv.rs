//! `traitwire bench kv`: workers that read and write keys of their own.

use std::time::Duration;

use traitwire_kv::kv_raft::client::ClusterKvClient;

use super::load::{self, Measured};
use super::process::Server;
use super::{Failure, Load};

/// How long a call may take before it counts as an error.
const CALL_TIME: Duration = Duration::from_secs(5);

/// Measure gets and puts of the key-value store: of a cluster of its own, or of the one named.
///
/// Each worker owns its keys and knows their versions, so that every put is a put-if-version that succeeds.
///
/// Exit codes: 0 measured; 1 the cluster cannot be started or does not answer; 2 wrong usage.
#[derive(clap::Args)]
pub(crate) struct Kv {
    /// The nodes to load; without it, a cluster that is started for the measurement in a folder below the current one.
    #[arg(long, value_name = "URL,…", value_delimiter = ',')]
    endpoints: Vec<String>,
    /// How many nodes that cluster has.
    #[arg(long, default_value_t = 3, conflicts_with = "endpoints", value_parser = clap::value_parser!(u8).range(1..=15))]
    nodes: u8,
    /// What to do.
    #[arg(long, value_enum, default_value_t = Op::Put)]
    op: Op,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    value_bytes: u32,
    /// Keys of each worker, who alone writes them and so knows their versions: every put names the right one.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    keys_per_worker: u32,
    #[command(flatten)]
    load: Load,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Op {
    /// Put if the version is the one named, which it is.
    Put,
    /// Get what was put before.
    Get,
    /// One put to every get.
    Mixed,
}

impl Kv {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        let name = match self.op {
            Op::Put => "put",
            Op::Get => "get",
            Op::Mixed => "mixed",
        };
        self.load.measure(&[(name, self.op)], async |op, concurrency| self.round(op, concurrency).await).await
    }

    async fn round(&self, op: Op, concurrency: usize) -> Result<Measured, Failure> {
        let server = match self.endpoints.is_empty() {
            true => Some(Server::start_cluster(usize::from(self.nodes)).await?),
            false => None,
        };
        let urls = server.as_ref().map_or_else(|| self.endpoints.clone(), Server::urls);
        let client = ClusterKvClient::new(urls, 1);
        // Keys that no other round has, so that their versions are known.
        let round = fastrand::u64(..);
        let mut workers = Vec::new();
        for worker in 0..concurrency {
            let keys = (0..self.keys_per_worker).map(|key| (format!("bench-{round:x}-{worker}-{key}"), 0));
            let value = "v".repeat(self.value_bytes as usize);
            let mut worker = Worker { client: client.clone(), keys: keys.collect(), value, op, calls: 0 };
            if op != Op::Put {
                worker.put_all().await?;
            }
            workers.push(worker);
        }
        load::run(workers, server.as_ref(), self.load.time()).await
    }
}

struct Worker {
    client: ClusterKvClient,
    /// Each key with its version.
    keys: Vec<(String, u64)>,
    value: String,
    op: Op,
    calls: usize,
}

impl Worker {
    /// Gives every key a value, so that there is something to get.
    async fn put_all(&mut self) -> Result<(), Failure> {
        for (key, version) in &mut self.keys {
            self.client.try_put(key, &self.value, *version, CALL_TIME).await.map_err(Failure::new)?;
            *version += 1;
        }
        Ok(())
    }
}

impl load::Worker for Worker {
    async fn call(&mut self) -> bool {
        let index = self.calls % self.keys.len();
        // A key is put and got in turn, so that a mixed load touches every key in both ways.
        let is_put = match self.op {
            Op::Put => true,
            Op::Get => false,
            Op::Mixed => (self.calls / self.keys.len()).is_multiple_of(2),
        };
        self.calls += 1;
        let (key, version) = &mut self.keys[index];
        if !is_put {
            let got = self.client.try_get(key, CALL_TIME).await;
            return got.is_ok_and(|(value, found)| value == self.value && found == *version);
        }
        let put = self.client.try_put(key, &self.value, *version, CALL_TIME).await;
        if put.is_ok() {
            *version += 1;
        }
        put.is_ok()
    }
}

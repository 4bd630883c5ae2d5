//! Many keys: they are filled in, and then written in no order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use crate::harness::load;
use crate::harness::workload::{Op, Store};

/// How many keys are filled in at once.
const FILLERS: usize = 256;

/// How often a put of the filling is tried.
const FILL_TRIES: usize = 5;

/// A version that is not known, after a put that has failed.
const UNKNOWN: u64 = u64::MAX;

/// Keys and their versions.
#[derive(Clone)]
pub struct Population {
    client: ClusterKvClient,
    value: Arc<str>,
    /// Each is written by the one worker to whom the key belongs.
    versions: Arc<[AtomicU64]>,
}

impl Population {
    /// So many keys, none of which has a value yet.
    pub fn new(client: ClusterKvClient, keys: usize, value_bytes: usize) -> Self {
        let versions = (0..keys).map(|_| AtomicU64::new(0)).collect();
        Self { client, value: "v".repeat(value_bytes).into(), versions }
    }

    /// Puts so many times, each key as often as the others; gives how many puts that is a second.
    pub async fn put_in_turn(&self, puts: usize) -> Result<f64> {
        let begin = Instant::now();
        let keys = self.versions.len();
        let count = FILLERS.min(keys);
        let mut fillers = JoinSet::new();
        for filler in 0..count.min(puts) {
            let population = self.clone();
            let share = (puts - filler).div_ceil(count);
            fillers.spawn(async move {
                for key in (filler..keys).step_by(count).cycle().take(share) {
                    population.fill_key(key).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(filled) = fillers.join_next().await {
            filled??;
        }
        Ok(puts as f64 / begin.elapsed().as_secs_f64())
    }

    async fn fill_key(&self, key: usize) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..FILL_TRIES {
            last = self.put(key).await;
            if last.is_ok() {
                return Ok(());
            }
        }
        last.with_context(|| format!("key {key} could not be filled in, in {FILL_TRIES} tries"))
    }

    async fn get(&self, key: usize) -> Result<()> {
        let (value, version) = self.client.get(&name_of(key)).await?;
        let known = self.versions[key].load(Ordering::Relaxed);
        ensure!(
            *value == *self.value && (known == UNKNOWN || known == version),
            "key {key} has what nobody put"
        );
        Ok(())
    }

    async fn put(&self, key: usize) -> Result<()> {
        let name = name_of(key);
        let version = match self.versions[key].swap(UNKNOWN, Ordering::Relaxed) {
            // A key that was never written has no value to get; the put that has failed may have been the first one.
            UNKNOWN => self.client.get(&name).await.map_or(0, |(_, version)| version),
            version => version,
        };
        self.client.put(&name, &self.value, version).await?;
        self.versions[key].store(version + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Workers that put or get keys in no order, each its own share of them. All keys have a value.
    pub fn workers(&self, op: Op, count: usize) -> Vec<Worker> {
        let count = count.min(self.versions.len());
        (0..count).map(|first| Worker { population: self.clone(), op, first, step: count }).collect()
    }
}

fn name_of(key: usize) -> String {
    format!("key-{key:08}")
}

/// Puts or gets every `step`th key from `first` on, in no order.
pub struct Worker {
    population: Population,
    op: Op,
    first: usize,
    step: usize,
}

impl load::Worker for Worker {
    async fn call(&mut self) -> bool {
        let share = (self.population.versions.len() - self.first).div_ceil(self.step);
        let key = self.first + self.step * fastrand::usize(..share);
        let is_put = match self.op {
            Op::Put => true,
            Op::Get => false,
            Op::Mixed => fastrand::bool(),
        };
        let done = if is_put { self.population.put(key).await } else { self.population.get(key).await };
        done.is_ok()
    }
}

//! Many keys: they are filled in, and then written in no order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use crate::harness::load;
use crate::harness::workload::Store;

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

    /// Gives every key its first value; gives how many keys that is a second.
    pub async fn fill(&self) -> Result<f64> {
        let begin = Instant::now();
        let mut fillers = JoinSet::new();
        for filler in 0..FILLERS {
            let population = self.clone();
            fillers.spawn(async move {
                for key in (filler..population.versions.len()).step_by(FILLERS) {
                    population.fill_key(key).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(filled) = fillers.join_next().await {
            filled??;
        }
        Ok(self.versions.len() as f64 / begin.elapsed().as_secs_f64())
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

    async fn put(&self, key: usize) -> Result<()> {
        let name = format!("key-{key:08}");
        let version = match self.versions[key].swap(UNKNOWN, Ordering::Relaxed) {
            // A key that was never written has no value to get; the put that has failed may have been the first one.
            UNKNOWN => self.client.get(&name).await.map_or(0, |(_, version)| version),
            version => version,
        };
        self.client.put(&name, &self.value, version).await?;
        self.versions[key].store(version + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Workers that put keys in no order, each its own share of them.
    pub fn workers(&self, count: usize) -> Vec<Worker> {
        let count = count.min(self.versions.len());
        (0..count).map(|first| Worker { population: self.clone(), first, step: count }).collect()
    }
}

/// Puts every `step`th key from `first` on, in no order.
pub struct Worker {
    population: Population,
    first: usize,
    step: usize,
}

impl load::Worker for Worker {
    async fn call(&mut self) -> bool {
        let share = (self.population.versions.len() - self.first).div_ceil(self.step);
        let key = self.first + self.step * fastrand::usize(..share);
        self.population.put(key).await.is_ok()
    }
}

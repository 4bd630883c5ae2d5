//! What a store with many keys takes: memory, puts while snapshots are taken, and nodes that come back.

mod population;
mod report;
mod snapshots;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use traitwire_kv::kv_raft::client::ClusterKvClient;
use traitwire_kv::services::raft::NodeId;

pub use self::population::Population;
use self::report::{Measured, Puts, Return};
use self::snapshots::{Split, Watch};
use crate::harness::cluster::{Cluster, Program, Shape};
use crate::harness::load::{self, Call};
use crate::harness::process::resident_bytes;
use crate::harness::workload::Op;
use crate::harness::{Folder, Output, block_on, positive, seconds, turns};

/// How long a node may take to catch up.
pub const CATCH_UP_TIME: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many keys the store has.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000", value_parser = positive)]
    keys: Vec<usize>,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// How many puts are under way at once, once the keys are there.
    #[arg(long, value_delimiter = ',', default_value = "64,256", value_parser = positive)]
    concurrency: Vec<usize>,
    /// After how many bytes of log a node takes a snapshot: so few that several are taken under load.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = positive)]
    snapshot_log_bytes: usize,
    /// How many seconds the puts are measured.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How many runs there are of each number of keys, in turn; the table has their medians.
    #[arg(long, default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// The threads of the tokio runtime of the clients; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    output: Output,
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    block_on(arguments.workers, measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    arguments.program.check()?;
    let fewest = arguments.keys.iter().min().copied().unwrap_or_default();
    let most = arguments.concurrency.iter().max().copied().unwrap_or_default();
    ensure!(fewest >= most, "each worker puts keys of its own: --keys must be at least {most}");
    let name = |keys: &usize| format!("{keys} keys");
    let run = async |keys: &usize| run_one(arguments, *keys).await;
    let samples = turns::take(&arguments.keys, arguments.rounds, name, run).await?;
    report::show(&samples, &arguments.output)
}

async fn run_one(arguments: &Arguments, keys: usize) -> Result<Measured> {
    let shape = Shape { nodes: 3, snapshot_log_bytes: Some(arguments.snapshot_log_bytes) };
    let mut cluster = Cluster::start(&arguments.program, &arguments.folder.folder, shape).await?;
    let population = Population::new(ClusterKvClient::new(cluster.urls(), 1), keys, arguments.value_bytes);
    let before = resident(&cluster)?;
    let fills_per_second = population.put_in_turn(keys).await?;
    cluster.all_applied(CATCH_UP_TIME).await?;
    let after = resident(&cluster)?;
    let grown = after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before)).sum::<u64>();
    let mut puts = Vec::new();
    for concurrency in &arguments.concurrency {
        puts.push(put(arguments, &cluster, &population, *concurrency).await?);
    }
    let leader = cluster.all_applied(CATCH_UP_TIME).await?;
    let follower = cluster.ids().into_iter().find(|id| *id != leader);
    let follower = follower.context("a cluster has more nodes than its leader")?;
    cluster.kill(follower);
    let restarted = start(&mut cluster, follower).await?;
    cluster.kill(follower);
    cluster.remove_data(follower)?;
    let refilled = start(&mut cluster, follower).await?;
    Ok(Measured {
        keys,
        fills_per_second,
        resident_mib: after.iter().max().copied().unwrap_or_default() as f64 / f64::from(1 << 20),
        bytes_per_key: grown as f64 / (keys * after.len()) as f64,
        puts,
        restarted,
        refilled,
    })
}

/// The memory of each node.
fn resident(cluster: &Cluster) -> Result<Vec<u64>> {
    cluster.pids().into_iter().map(resident_bytes).collect()
}

/// Puts random keys for a while.
async fn put(
    arguments: &Arguments,
    cluster: &Cluster,
    population: &Population,
    concurrency: usize,
) -> Result<Puts> {
    let leader = cluster.leader_known_to_all().await?;
    let watch = Watch::start(cluster.stub(leader));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let all = calls.clone();
    let note = move |call: Call| all.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let time = Duration::from_secs_f64(arguments.seconds);
    let sample =
        load::run_noting(population.workers(Op::Put, concurrency), &cluster.pids(), time, note).await?;
    let windows = watch.windows().await;
    let split = Split::new(&calls.lock().unwrap_or_else(PoisonError::into_inner), &windows);
    Ok(Puts {
        concurrency,
        sample,
        snapshots: windows.len(),
        p99_us_within: split.within.quantile_us(0.99),
        p99_us_otherwise: split.otherwise.quantile_us(0.99),
    })
}

/// Starts a node and waits until it has applied all that the leader has.
async fn start(cluster: &mut Cluster, id: NodeId) -> Result<Return> {
    let leader = cluster.leader_known_to_all().await?;
    let applied = cluster.status(leader).await?.applied_index;
    let begin = Instant::now();
    cluster.start_node(id).await?;
    cluster.applied(id, 0, CATCH_UP_TIME).await?;
    let answers_ms = begin.elapsed().as_secs_f64() * 1e3;
    let status = cluster.applied(id, applied, CATCH_UP_TIME).await?;
    let applied_ms = begin.elapsed().as_secs_f64() * 1e3;
    Ok(Return { answers_ms, applied_ms, has_snapshot: status.snapshot_index > 0 })
}

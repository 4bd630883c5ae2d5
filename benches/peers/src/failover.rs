//! How long a cluster is without a leader when that is killed: from its death to the end of the first operation that began
//! after it and succeeded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use crate::harness::cluster::{Cluster, Program, Shape};
use crate::harness::load::{Call, Worker as _};
use crate::harness::sample::median;
use crate::harness::table::{Column, Table, figure, print_json};
use crate::harness::workload::{self, Op, Size, Worker};
use crate::harness::{Folder, Output, block_on, positive, turns};

/// How long the cluster works undisturbed before a kill, at least.
const QUIET: Duration = Duration::from_millis(500);

/// How much longer, at most: kills should not keep time with heartbeats.
const QUIET_MORE: Duration = Duration::from_millis(200);

/// How long it may take until an operation succeeds again, and until a node that was started again has caught up.
const RECOVERY_TIME: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often the leader is killed.
    #[arg(long, default_value_t = 50, value_parser = positive)]
    kills: usize,
    /// How many nodes the cluster has.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How many operations are under way at once.
    #[arg(long, default_value_t = 16, value_parser = positive)]
    concurrency: usize,
    /// What workers do.
    #[arg(long, value_enum, default_value_t = Op::Put)]
    op: Op,
    #[command(flatten)]
    size: Size,
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

/// The one row of the table.
#[derive(Serialize)]
struct Row {
    nodes: usize,
    concurrency: usize,
    kills: usize,
    median_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
    /// Operations that failed in all that time.
    errors: u64,
    /// Each one.
    all_ms: Vec<f64>,
}

/// What workers tell of.
#[derive(Default)]
struct Watch {
    /// Who waits for a success, and since when.
    waiting: Mutex<Option<(Instant, oneshot::Sender<Instant>)>>,
    errors: AtomicU64,
}

impl Watch {
    /// Waits for the first call that begins from now on and succeeds; gives how long that takes.
    async fn first_success(&self) -> Result<Duration> {
        let (sender, succeeded) = oneshot::channel();
        let since = Instant::now();
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some((since, sender));
        let end = tokio::time::timeout(RECOVERY_TIME, succeeded).await;
        Ok(end.context("no operation has succeeded since the kill")?? - since)
    }

    fn succeeded(&self, call: Call) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = waiting.take_if(|(since, _)| call.begin >= *since) {
            // Nobody waits after an error, which ends the bench.
            let _ended = sender.send(call.end);
        }
    }
}

async fn work(mut worker: Worker<ClusterKvClient>, watch: Arc<Watch>) {
    loop {
        let begin = Instant::now();
        if worker.call().await {
            watch.succeeded(Call { begin, end: Instant::now() });
        } else {
            watch.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    block_on(arguments.workers, measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    arguments.program.check()?;
    anyhow::ensure!(arguments.nodes >= 3, "with fewer than three nodes nobody can take the leader's place");
    let shape = Shape { nodes: arguments.nodes, snapshot_log_bytes: None };
    let mut cluster = Cluster::start(&arguments.program, &arguments.folder.folder, shape).await?;
    let client = ClusterKvClient::new(cluster.urls(), 1);
    let workers = workload::workers(&[client], arguments.op, arguments.concurrency, &arguments.size).await?;
    let watch = Arc::new(Watch::default());
    // They end when this is dropped.
    let _working: JoinSet<()> = workers.into_iter().map(|worker| work(worker, watch.clone())).collect();
    let progress = turns::progress(arguments.kills)?;
    let mut all_ms = Vec::new();
    for _ in 0..arguments.kills {
        all_ms.push(kill_leader(&mut cluster, &watch).await?.as_secs_f64() * 1e3);
        progress.inc(1);
    }
    progress.finish_and_clear();
    show(arguments, all_ms, watch.errors.load(Ordering::Relaxed))
}

/// Kills the leader and gives the time without it; then the node is started again and catches up.
async fn kill_leader(cluster: &mut Cluster, watch: &Watch) -> Result<Duration> {
    let leader = cluster.leader_known_to_all().await?;
    tokio::time::sleep(QUIET + QUIET_MORE.mul_f64(fastrand::f64())).await;
    cluster.kill(leader);
    let without = watch.first_success().await?;
    cluster.start_node(leader).await?;
    let now = cluster.leader_known_to_all().await?;
    let applied = cluster.status(now).await?.applied_index;
    cluster.applied(leader, applied, RECOVERY_TIME).await?;
    Ok(without)
}

fn show(arguments: &Arguments, all_ms: Vec<f64>, errors: u64) -> Result<()> {
    let mut sorted = all_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * 99).div_ceil(100).max(1);
    let row = Row {
        nodes: arguments.nodes,
        concurrency: arguments.concurrency,
        kills: arguments.kills,
        median_ms: median(all_ms.iter().copied()),
        p99_ms: sorted[rank - 1],
        longest_ms: sorted[sorted.len() - 1],
        errors,
        all_ms,
    };
    if arguments.output.json {
        return print_json(&[row]);
    }
    let columns = ["nodes", "concurrency", "kills", "median ms", "p99 ms", "longest ms", "errors"];
    let mut table = Table::new(columns.map(Column::Figure));
    let counts = [row.nodes, row.concurrency, row.kills].map(|count| count.to_string());
    let times = [row.median_ms, row.p99_ms, row.longest_ms].map(|ms| figure(ms, 0));
    table.row(counts.into_iter().chain(times).chain([row.errors.to_string()]));
    table.print();
    Ok(())
}

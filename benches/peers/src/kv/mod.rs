//! Three of our nodes beside three members of etcd: processes on this machine, their data on one file system.

mod api;
mod etcd;

use anyhow::Result;
use traitwire_kv::kv_raft::client::ClusterKvClient;

use self::api::Plain;
use self::etcd::Etcd;
use crate::harness::cluster::{Cluster, Program, Shape};
use crate::harness::comparison::{self, Row};
use crate::harness::load;
use crate::harness::sample::Sample;
use crate::harness::workload::{self, Op, Size, Store};
use crate::harness::{Folder, Output, Repeat, block_on, positive, turns};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many operations are under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_parser = positive)]
    concurrency: Vec<usize>,
    /// What workers do.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "put,get,mixed")]
    op: Vec<Op>,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<System>,
    #[command(flatten)]
    size: Size,
    /// The threads of the tokio runtime of the clients; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    etcd: Etcd,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    output: Output,
}

/// Who serves, and how puts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum System {
    /// Our nodes; a put names the version.
    #[value(name = "traitwire")]
    Ours,
    /// etcd; a put is a transaction that compares the version.
    Etcd,
    /// etcd; a put does not look at the version.
    EtcdPlain,
}

#[derive(Clone, Copy)]
struct Case {
    concurrency: usize,
    op: Op,
    system: System,
}

impl Case {
    fn name(&self) -> String {
        let system = if self.system == System::Ours { "traitwire" } else { "etcd" };
        let op = match (self.system, self.op) {
            (System::Ours | System::Etcd, Op::Put) => "put-if-version",
            (_, op) => op.name(),
        };
        format!("{system} {op}")
    }
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    block_on(arguments.workers, measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let is_wanted = |system| arguments.only.is_empty() || arguments.only.contains(&system);
    let systems = [System::Ours, System::Etcd, System::EtcdPlain].into_iter().filter(|it| is_wanted(*it));
    if is_wanted(System::Ours) {
        arguments.program.check()?;
    }
    if is_wanted(System::Etcd) || is_wanted(System::EtcdPlain) {
        arguments.etcd.check()?;
    }
    let mut cases = Vec::new();
    for op in &arguments.op {
        for concurrency in &arguments.concurrency {
            // But for puts, the two ways to use etcd do the same.
            let fit = systems.clone().filter(|system| *op == Op::Put || *system != System::EtcdPlain);
            cases.extend(fit.map(|system| Case { concurrency: *concurrency, op: *op, system }));
        }
    }
    let name = |case: &Case| format!("{} at {}", case.name(), case.concurrency);
    let run = async |case: &Case| run_one(arguments, *case).await;
    let samples = turns::take(&cases, arguments.repeat.rounds, name, run).await?;
    let medians: Vec<_> = samples.iter().map(|samples| Sample::medians(samples)).collect();
    comparison::show(&rows(&cases, &medians), "ops/s", &arguments.output)
}

/// A run with a cluster of its own, so that none finds what another has left behind.
async fn run_one(arguments: &Arguments, case: Case) -> Result<Sample> {
    let folder = &arguments.folder.folder;
    if case.system == System::Ours {
        let shape = Shape { nodes: 3, snapshot_log_bytes: None };
        let cluster = Cluster::start(&arguments.program, folder, shape).await?;
        let client = ClusterKvClient::new(cluster.urls(), 1);
        return load(arguments, case, &[client], &cluster.pids()).await;
    }
    let mut cluster = etcd::Cluster::start(&arguments.etcd, folder)?;
    let clients = cluster.clients(&arguments.etcd).await?;
    if case.system == System::Etcd {
        return load(arguments, case, &clients, &cluster.pids()).await;
    }
    let clients: Vec<_> = clients.into_iter().map(Plain).collect();
    load(arguments, case, &clients, &cluster.pids()).await
}

/// Loads the servers through these clients, which the workers share.
async fn load<S: Store>(arguments: &Arguments, case: Case, clients: &[S], servers: &[u32]) -> Result<Sample> {
    let workers = workload::workers(clients, case.op, case.concurrency, &arguments.size).await?;
    load::run(workers, servers, arguments.repeat.time()).await
}

fn rows(cases: &[Case], medians: &[Sample]) -> Vec<Row> {
    let measured = || cases.iter().zip(medians);
    let ours = |like: &Case| {
        let of_ours = (System::Ours, like.op, like.concurrency);
        measured().find(|(case, _)| (case.system, case.op, case.concurrency) == of_ours)
    };
    let row = |(case, median): (&Case, &Sample)| {
        Row::new(case.concurrency, case.name(), median, ours(case).map(|(_, median)| median))
    };
    measured().map(row).collect()
}

//! Three of our nodes beside three members of etcd: processes on this machine, their data on one file system.

mod api;
mod etcd;

use anyhow::Result;

use self::api::Plain;
use self::etcd::Etcd;
use crate::harness::cluster::{Cluster, Program, Shape};
use crate::harness::comparison::{self, Row};
use crate::harness::sample::Sample;
use crate::harness::workload::{Load, Op, Size};
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
    stores: Stores,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    output: Output,
}

/// The programs of the stores, and where they have their data.
#[derive(clap::Args, Clone, Debug)]
pub struct Stores {
    /// Ours.
    #[command(flatten)]
    pub program: Program,
    /// etcd.
    #[command(flatten)]
    pub etcd: Etcd,
    /// Their data.
    #[command(flatten)]
    pub folder: Folder,
}

/// Who serves, and how puts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum System {
    /// Our nodes; a put names the version.
    #[value(name = "traitwire")]
    Ours,
    /// etcd; a put is a transaction that compares the version.
    Etcd,
    /// etcd; a put does not look at the version.
    EtcdPlain,
}

impl System {
    /// What serves, however puts are made.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "traitwire",
            Self::Etcd | Self::EtcdPlain => "etcd",
        }
    }
}

#[derive(Clone, Copy)]
struct Case {
    concurrency: usize,
    op: Op,
    system: System,
}

impl Case {
    fn name(&self) -> String {
        let op = match (self.system, self.op) {
            (System::Ours | System::Etcd, Op::Put) => "put-if-version",
            (_, op) => op.name(),
        };
        format!("{} {op}", self.system.name())
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
        arguments.stores.program.check()?;
    }
    if is_wanted(System::Etcd) || is_wanted(System::EtcdPlain) {
        arguments.stores.etcd.check()?;
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
    let samples = turns::take(&cases, arguments.repeat.rounds, name, async |case: &Case| {
        let (size, time) = (arguments.size.clone(), arguments.repeat.time());
        let load = Load { op: case.op, concurrency: case.concurrency, size, time };
        arguments.stores.measure(case.system, &load).await
    });
    let samples = samples.await?;
    let medians: Vec<_> = samples.iter().map(|samples| Sample::medians(samples)).collect();
    comparison::show(&rows(&cases, &medians), "ops/s", &arguments.output)
}

impl Stores {
    /// A run with a cluster of its own, so that none finds what another has left behind.
    pub async fn measure(&self, system: System, load: &Load) -> Result<Sample> {
        if system == System::Ours {
            let cluster = self.start_ours(3).await?;
            return load.on_ours(&cluster).await;
        }
        let mut cluster = etcd::Cluster::start(&self.etcd, &self.folder.folder)?;
        let clients = cluster.clients(&self.etcd).await?;
        if system == System::Etcd {
            return load.on(&clients, &cluster.pids()).await;
        }
        let clients: Vec<_> = clients.into_iter().map(Plain).collect();
        load.on(&clients, &cluster.pids()).await
    }

    /// Nodes of ours with nothing set.
    pub async fn start_ours(&self, nodes: usize) -> Result<Cluster> {
        let shape = Shape { nodes, snapshot_log_bytes: None };
        Cluster::start(&self.program, &self.folder.folder, shape).await
    }
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

//! The same load on clusters of several sizes.

use anyhow::Result;
use serde::Serialize;

use crate::harness::cluster::{Cluster, Program, Shape};
use crate::harness::sample::{self, Sample};
use crate::harness::table::{Column, Table, print_json};
use crate::harness::workload::{Load, Op, Size};
use crate::harness::{Folder, Output, Repeat, block_on, positive, turns};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many nodes a cluster has.
    #[arg(long, value_delimiter = ',', default_value = "3,5,7", value_parser = positive)]
    nodes: Vec<usize>,
    /// How many operations are under way at once.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_parser = positive)]
    concurrency: Vec<usize>,
    /// What workers do.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "put,get")]
    op: Vec<Op>,
    #[command(flatten)]
    size: Size,
    /// The threads of the tokio runtime of the clients; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Serialize)]
struct Case {
    nodes: usize,
    #[serde(serialize_with = "op_name")]
    op: Op,
    concurrency: usize,
}

fn op_name<S: serde::Serializer>(op: &Op, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(op.name())
}

/// One row of the table.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    case: Case,
    #[serde(flatten)]
    median: Sample,
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    block_on(arguments.workers, measure(arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    arguments.program.check()?;
    let mut cases = Vec::new();
    for op in &arguments.op {
        for concurrency in &arguments.concurrency {
            let case = |nodes: &usize| Case { nodes: *nodes, op: *op, concurrency: *concurrency };
            cases.extend(arguments.nodes.iter().map(case));
        }
    }
    let name = |case: &Case| format!("{} at {} of {} nodes", case.op.name(), case.concurrency, case.nodes);
    let samples = turns::take(&cases, arguments.repeat.rounds, name, async |case: &Case| {
        let shape = Shape { nodes: case.nodes, snapshot_log_bytes: None };
        let cluster = Cluster::start(&arguments.program, &arguments.folder.folder, shape).await?;
        let (size, time) = (arguments.size.clone(), arguments.repeat.time());
        Load { op: case.op, concurrency: case.concurrency, size, time }.on_ours(&cluster).await
    });
    let row = |(case, samples): (&Case, Vec<Sample>)| Row { case: *case, median: Sample::medians(&samples) };
    show(&cases.iter().zip(samples.await?).map(row).collect::<Vec<_>>(), &arguments.output)
}

fn show(rows: &[Row], output: &Output) -> Result<()> {
    if output.json {
        return print_json(rows);
    }
    let head = [Column::Figure("concurrency"), Column::Text("operation"), Column::Figure("nodes")];
    let mut table = Table::new(head.into_iter().chain(sample::columns("ops/s")));
    for Row { case, median } in rows {
        let head = [case.concurrency.to_string(), case.op.name().to_owned(), case.nodes.to_string()];
        table.row(head.into_iter().chain(median.cells()));
    }
    table.print();
    Ok(())
}

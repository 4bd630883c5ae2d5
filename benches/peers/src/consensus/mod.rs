//! Commits a second of this project's consensus, beside raft-rs and openraft: three nodes in one process, storage in memory.
//! There are no sockets and no disks in it.
//!
//! - `by_hand`: nodes that are values, in one thread: `ours_core` and `raft_rs`.
//! - `clients`: nodes that are tasks, and a task for each client: `ours_handle` and `open_raft`.
//! - `measure`: what is measured.

mod by_hand;
mod clients;
mod measure;
mod open_raft;
mod open_raft_store;
mod ours_core;
mod ours_handle;
mod raft_rs;

use std::time::Duration;

use anyhow::Result;

use self::measure::Sample;
use crate::harness::positive;
use crate::harness::table::{Column, Table, figure, print_json};

/// The nodes of a cluster; the first one is node 1.
const NODES: u64 = 3;

/// A command: 64 bytes, which are JSON.
const PAYLOAD: &str = concat!("\"", "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwx", "\"");

const _: () = assert!(PAYLOAD.len() == 64);

/// How long followers wait for their leader, at least: long, so that a machine that is busy costs no elections.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a leader gives a sign of life.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// How long a cluster runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many commands are outstanding.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256,1024")]
    outstanding: Vec<usize>,
    /// How long each run is measured.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many runs there are of each kind; the table has their medians.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    rounds: usize,
    /// The threads of the tokio runtime, where there is one; 0 is the runtime of the current thread.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Only these.
    #[arg(long, value_delimiter = ',', value_parser = SUBJECTS.map(|(name, _)| name))]
    only: Vec<String>,
    /// Prints a line of JSON for each row.
    #[arg(long)]
    json: bool,
}

/// How much a run does.
#[derive(Clone, Copy)]
struct Amount {
    outstanding: usize,
    duration: Duration,
    workers: usize,
}

/// One implementation in one setting: its name, and a run of it.
type Subject = (&'static str, fn(Amount) -> Sample);

/// What is measured, each of ours after the peer that it is compared with.
const SUBJECTS: [Subject; 4] = [
    ("raft-rs", |amount| by_hand::run(raft_rs::RawNodes::start(), amount)),
    ("ours-core", |amount| by_hand::run(ours_core::Cores::start(), amount)),
    ("openraft", clients::run::<open_raft::Rafts>),
    ("ours-handle", clients::run::<ours_handle::Rafts>),
];

/// One row of the table.
#[derive(serde::Serialize)]
struct Row {
    outstanding: usize,
    subject: &'static str,
    #[serde(flatten)]
    median: Sample,
    /// The commits a second of each run.
    runs: Vec<f64>,
}

/// Measures and shows the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    let rows = measure_all(arguments);
    if arguments.json {
        return print_json(&rows);
    }
    print_table(&rows);
    Ok(())
}

/// All runs, in turns, so that what disturbs the machine for a while disturbs all of them.
fn measure_all(arguments: &Arguments) -> Vec<Row> {
    let is_wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let subjects: Vec<_> = SUBJECTS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let kinds: Vec<_> = arguments
        .outstanding
        .iter()
        .flat_map(|outstanding| subjects.iter().map(|subject| (*outstanding, *subject)))
        .collect();
    let mut samples = vec![Vec::new(); kinds.len()];
    for _ in 0..arguments.rounds {
        for ((outstanding, (_, run)), samples) in kinds.iter().zip(&mut samples) {
            let duration = Duration::from_secs_f64(arguments.seconds);
            let amount = Amount { outstanding: (*outstanding).max(1), duration, workers: arguments.workers };
            samples.push(run(amount));
        }
    }
    let row = |((outstanding, (subject, _)), samples): ((usize, (&'static str, _)), Vec<Sample>)| Row {
        outstanding,
        subject,
        median: Sample::medians(&samples),
        runs: samples.iter().map(|sample| sample.commits_per_second).collect(),
    };
    kinds.into_iter().zip(samples).map(row).collect()
}

fn print_table(rows: &[Row]) {
    let figures = ["commits/s", "p50 us", "p99 us", "CPU us/commit"].map(Column::Figure);
    let mut table = Table::new([Column::Figure("outstanding"), Column::Text("")].into_iter().chain(figures));
    for Row { outstanding, subject, median, .. } in rows {
        let Sample { commits_per_second, p50_us, p99_us, cpu_us } = median;
        table.row([
            outstanding.to_string(),
            (*subject).to_owned(),
            figure(*commits_per_second, 0),
            figure(*p50_us, 1),
            figure(*p99_us, 1),
            figure(*cpu_us, 2),
        ]);
    }
    table.print();
}

//! What the benches share: processes, clusters of our nodes, load, figures and tables.

pub mod child;
pub mod cluster;
pub mod comparison;
pub mod grpc;
pub mod histogram;
pub mod load;
pub mod process;
pub mod sample;
pub mod table;
pub mod turns;
pub mod workload;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Where clusters have their data.
#[derive(clap::Args, Clone, Debug)]
pub struct Folder {
    /// Where temporary folders for the data of the servers are made; what is under /tmp may live in memory, where syncing
    /// costs nothing.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
}

/// How long and how often.
#[derive(clap::Args, Clone, Debug)]
pub struct Repeat {
    /// How many seconds each run is measured.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// How many runs there are of each case, in turn; the table has their medians.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub rounds: usize,
}

impl Repeat {
    /// How long each run is measured.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// How the results are shown.
#[derive(clap::Args, Clone, Debug)]
pub struct Output {
    /// Print a line of JSON for each row.
    #[arg(long)]
    pub json: bool,
}

/// A number of seconds that can be measured.
pub fn seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse()?;
    if !(0.1..=3_600.0).contains(&seconds) {
        bail!("between 0.1 and 3600, please");
    }
    Ok(seconds)
}

/// A number above 0.
pub fn positive(text: &str) -> Result<usize> {
    match text.parse()? {
        0 => bail!("at least 1, please"),
        number => Ok(number),
    }
}

/// The runtime of this process: of the current thread for 0 workers.
pub fn runtime(workers: usize) -> Result<Runtime> {
    let mut builder = if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    Ok(builder.worker_threads(workers.max(1)).enable_all().build()?)
}

/// Runs a bench to its end, or until it is told to end; its servers and its data go with it in any case.
pub fn block_on(workers: usize, bench: impl Future<Output = Result<()>>) -> Result<()> {
    process::allow_many_files()?;
    runtime(workers)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        tokio::select! {
            done = bench => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

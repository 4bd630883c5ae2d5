//! `traitwire bench rpc`: what a call costs, beside the same service written by hand on axum and reqwest in the same
//! run. Client and servers are processes of their own, as in use.

mod echo;
mod load;
mod process;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use load::Measured;

#[derive(clap::Subcommand)]
pub(super) enum Bench {
    /// Measure calls that echo 100 bytes, generated code beside hand-written axum and reqwest.
    Rpc(Rpc),
    /// Serve the echo for a measurement; `bench rpc` starts it.
    #[command(hide = true)]
    Server {
        /// Who serves.
        case: Case,
    },
}

/// Who serves and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Case {
    /// Code generated from an annotated trait.
    Traitwire,
    /// The same service written by hand on axum, called by hand through reqwest.
    Handwritten,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Traitwire => "traitwire",
            Self::Handwritten => "handwritten",
        }
    }
}

#[derive(clap::Args)]
pub(super) struct Rpc {
    /// How many calls are under way at once, through one client; several numbers give several lines.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    concurrency: Vec<u32>,
    /// How many seconds each measurement lasts.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How often each case is measured, in turn; the round in the middle by calls a second is shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Rpc(rpc) => rpc.run().await,
            Self::Server { case } => echo::serve(case).await.map_err(Failure::new).map(|()| 0),
        }
    }
}

impl Rpc {
    async fn run(self) -> Result<u8, Failure> {
        let cases = [Case::Traitwire, Case::Handwritten];
        let rounds = u64::from(self.rounds) * self.concurrency.len() as u64 * cases.len() as u64;
        // Hidden by itself where standard error is no terminal.
        let progress = ProgressBar::new(rounds)
            .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").map_err(Failure::new)?);
        if !self.json {
            println!("case          concurrency   calls/s  p50 us  p99 us  errors  client us  server us");
        }
        for &concurrency in &self.concurrency {
            let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); cases.len()];
            for _ in 0..self.rounds {
                // In turn, so that a neighbour's noise falls on both.
                for (case, measured) in cases.into_iter().zip(&mut measured) {
                    progress.set_message(format!("{} at {concurrency}", case.name()));
                    let seconds = Duration::from_secs(self.seconds);
                    measured.push(load::measure(case, concurrency as usize, seconds).await?);
                    progress.inc(1);
                }
            }
            for (case, measured) in cases.into_iter().zip(measured) {
                let line = middle(measured);
                progress.suspend(|| self.print(case, concurrency, &line));
            }
        }
        progress.finish_and_clear();
        Ok(0)
    }

    fn print(&self, case: Case, concurrency: u32, line: &Measured) {
        if self.json {
            println!("{}", line.json(case.name(), concurrency));
        } else {
            println!(
                "{:<13} {concurrency:>11} {:>9.0} {:>7} {:>7} {:>7} {:>10.1} {:>10.1}",
                case.name(),
                line.ops_per_s,
                line.p50_us,
                line.p99_us,
                line.errors,
                line.cpu_us_client,
                line.cpu_us_servers
            );
        }
    }
}

/// The round in the middle, by calls a second.
fn middle(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
    let middle = rounds.len() / 2;
    rounds.swap_remove(middle)
}

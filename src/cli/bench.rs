//! `traitwire bench`: what a call costs, beside the same service written by hand on axum and reqwest in the same run, and
//! what the key-value store does. Client and servers are processes of their own, as in use.

mod echo;
mod kv;
mod load;
mod process;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::output::print_line;
use load::Measured;
use process::Server;

/// Measure calls and the key-value store.
///
/// Exit codes: 0 measured; 1 a server cannot be started or reached; 2 wrong usage.
#[derive(clap::Subcommand)]
pub(super) enum Bench {
    Rpc(Rpc),
    Kv(kv::Kv),
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

/// Measure calls that echo 100 bytes, generated code beside hand-written axum and reqwest.
///
/// Server and client are processes of their own.
///
/// Exit codes: 0 measured; 1 a server cannot be started; 2 wrong usage.
#[derive(clap::Args)]
pub(super) struct Rpc {
    #[command(flatten)]
    load: Load,
}

/// How hard and how long to load.
#[derive(clap::Args)]
struct Load {
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

impl Load {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Measures every case at every concurrency, and prints the middle round of each.
    async fn measure<C: Copy>(
        &self,
        cases: &[(&str, C)],
        mut round: impl AsyncFnMut(C, usize) -> Result<Measured, Failure>,
    ) -> Result<u8, Failure> {
        let rounds = u64::from(self.rounds) * self.concurrency.len() as u64 * cases.len() as u64;
        // Hidden by itself where standard error is no terminal.
        let progress = ProgressBar::new(rounds)
            .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").map_err(Failure::new)?);
        if !self.json {
            print_line(load::HEAD)?;
        }
        for &concurrency in &self.concurrency {
            let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); cases.len()];
            for _ in 0..self.rounds {
                // In turn, so that a neighbour's noise falls on all.
                for (&(name, case), measured) in cases.iter().zip(&mut measured) {
                    progress.set_message(format!("{name} at {concurrency}"));
                    measured.push(round(case, concurrency as usize).await?);
                    progress.inc(1);
                }
            }
            for ((name, _), measured) in cases.iter().zip(measured) {
                let middle = load::middle(measured);
                progress.suspend(|| {
                    if self.json {
                        print_line(middle.json(name, concurrency))
                    } else {
                        print_line(middle.row(name, concurrency))
                    }
                })?;
            }
        }
        progress.finish_and_clear();
        Ok(0)
    }
}

impl Bench {
    pub(super) async fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Rpc(rpc) => rpc.run().await,
            Self::Kv(kv) => kv.run().await,
            Self::Server { case } => echo::serve(case).await.map_err(Failure::new).map(|()| 0),
        }
    }
}

impl Rpc {
    async fn run(self) -> Result<u8, Failure> {
        let cases = [Case::Traitwire, Case::Handwritten].map(|case| (case.name(), case));
        let time = self.load.time();
        let round = async |case: Case, concurrency| {
            let server = Server::start(&["bench", "server", case.name()]).await?;
            let client = echo::Client::new(case, &server.urls()[0]).map_err(Failure::new)?;
            load::run(echo::workers(&client, concurrency), Some(&server), time).await
        };
        self.load.measure(&cases, round).await
    }
}

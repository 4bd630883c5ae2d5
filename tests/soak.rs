//! A soak of the replicated store: one cluster that lives long, and rounds of work under rotating faults.
//!
//! ```sh
//! cargo test --release --test soak -- --minutes 30
//! cargo test --release --test soak -- --each 1                # every scenario once
//! cargo test --release --test soak -- --seed 7 --rounds 1     # one round again
//! cargo test --release --test soak -- --scenarios loss-half,pause --rounds 20 --json
//! ```
//!
//! Without arguments it is short, as a test among the others. A round's seed decides its scenario and all that is drawn in
//! it, though not how processes interleave; the next round has the next seed. What a round does and what must hold after it
//! stands in `soak/round.rs`, what goes wrong meanwhile in `soak/scenario.rs`. The first broken promise ends the run: the
//! next round could not trust a store that has broken one.
//!
//! | exit code | |
//! |---|---|
//! | 0 | every round has kept all promises |
//! | 1 | a promise was broken |
//! | 2 | the arguments are wrong |
//! | 3 | a round lacked something that it needs, such as a snapshot, and has shown nothing |
//! | 4 | the soak itself has failed |
//! | 130 | it was interrupted |
//!
//! The slope of memory in the end is that of the nodes' mean, over the rounds after the first quarter. A crash gives memory
//! back: who hunts a leak names scenarios without crashes, and takes his time.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "soak/report.rs"]
mod report;
#[path = "soak/round.rs"]
mod round;
#[path = "soak/scenario.rs"]
mod scenario;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use common::harness::HarnessArguments;
use report::{Failure, Report};
use round::Soak;
use scenario::Scenario;

/// The name under which `cargo test` knows this.
const NAME: &str = "soak";
/// How many rounds there are where nothing else is said.
const ROUNDS_DEFAULT: u64 = 4;
/// The exit code after a Ctrl-C: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Works on a replicated store of five processes while faults come and go, and checks that it keeps its promises.
#[derive(Parser)]
#[command(name = NAME)]
struct Arguments {
    /// How many rounds; without this and --minutes there are a few.
    #[arg(long, conflicts_with = "minutes")]
    rounds: Option<u64>,
    /// Run every scenario this many times.
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["minutes", "rounds"])]
    each: Option<u64>,
    /// For how long rounds are begun.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,
    /// The seed of the first round; each further round has the next one. Random where it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The scenarios that take turns; all of them where none is named.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// For how long clients work and faults come in a round.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    round_seconds: u64,
    /// Print a JSON object a round, and one for the whole.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    harness: HarnessArguments,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if !arguments.harness.selects(NAME) {
        return ExitCode::SUCCESS;
    }
    if arguments.harness.list {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    if arguments.scenarios.is_empty() {
        arguments.scenarios = Scenario::value_variants().to_vec();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let code = runtime.block_on(async {
        tokio::select! {
            code = soak(&arguments) => code,
            Ok(()) = tokio::signal::ctrl_c() => {
                eprintln!("interrupted");
                INTERRUPTED
            }
        }
    });
    // The nodes end with the tasks that own them.
    drop(runtime);
    ExitCode::from(code)
}

/// Runs the rounds, and gives the exit code.
async fn soak(arguments: &Arguments) -> u8 {
    let first_seed = arguments.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let rounds = arguments.round_count();
    let time = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let mut report = Report::new(arguments.json, rounds, time);
    let mut soak = Soak::start().await;
    let began = Instant::now();
    for number in 0..rounds {
        if time.is_some_and(|time| began.elapsed() >= time) {
            break;
        }
        let seed = first_seed.wrapping_add(number);
        let scenario = arguments.scenarios[usize::try_from(seed % arguments.scenarios.len() as u64).unwrap()];
        report.begin(seed, scenario);
        let round_time = Duration::from_secs(arguments.round_seconds);
        let repeat = [arguments.command(seed, 1), arguments.command(first_seed, number + 1)];
        // In a task of its own: a broken promise is a panic, as in any test.
        let round = tokio::spawn(async move {
            let outcome = soak.round(seed, scenario, round_time).await;
            (soak, outcome)
        });
        match round.await {
            Ok((same, outcome)) => {
                soak = same;
                match outcome {
                    Ok(measured) => report.round(seed, scenario, &measured),
                    Err(unmet) => report.unmet(seed, scenario, &unmet, &repeat),
                }
            }
            Err(failed) => {
                let (failure, why) = Failure::of(failed);
                report.failure(seed, scenario, (failure, &why), &repeat);
                break;
            }
        }
    }
    report.end()
}

impl Arguments {
    fn round_count(&self) -> u64 {
        let each = self.each.map(|times| times.saturating_mul(self.scenarios.len() as u64));
        let default = if self.minutes.is_some() { u64::MAX } else { ROUNDS_DEFAULT };
        self.rounds.or(each).unwrap_or(default)
    }

    /// The command that runs these rounds.
    fn command(&self, seed: u64, rounds: u64) -> String {
        let profile = if cfg!(debug_assertions) { "" } else { " --release" };
        let mut command = format!("cargo test{profile} --test {NAME} -- --seed {seed} --rounds {rounds}");
        command += &format!(" --round-seconds {}", self.round_seconds);
        if self.scenarios.len() < Scenario::value_variants().len() {
            let names: Vec<_> = self.scenarios.iter().map(|scenario| scenario.name()).collect();
            command += &format!(" --scenarios {}", names.join(","));
        }
        command
    }
}

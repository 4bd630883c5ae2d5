//! Attacks on a cluster of three processes under load: one caller at a time misbehaves in every way that it can, and the clients
//! that behave well must hardly notice.
//!
//! ```sh
//! cargo test --release --test attack                                            # every attack once, shortly
//! cargo test --release --test attack -- --seconds 30 --rounds 10 --json         # long; exit code 1 when a bar was missed
//! cargo test --release --test attack -- --attacks unread-replies,idle-flood
//! ```
//!
//! `.ci/attack` runs it on a fresh machine. A build that is not optimized serves ten times slower than what anybody runs, which the
//! attacker is not: there it only runs if attacks are named.
//!
//! 64 clients get and put at a steady pace. Windows without an attack and attacks take turns. During each attack:
//!
//! - the 99th percentile of the clients' latencies is at most [`RATIO_MAX`] times that of the undisturbed windows: their median,
//!   so that neither a burst of noise nor what an attack leaves behind raises it;
//! - the memory of no node grows by more than [`GROWTH_MAX`], and neither does it over all attacks together;
//! - every node lives, and they keep their leader and their term;
//! - a client that has no connection yet gets its first answer within a second.
//!
//! In the end the nodes agree, no refused request has written anything, and what the clients saw is linearizable, so that every
//! acknowledged put is still there. A cluster that an attack has harmed is replaced before the next one.
//!
//! The attacker is this same program in a process of its own. It writes to raw sockets and sends little: what it uses of the
//! processors is shown, so that the servers are not blamed for it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod bed;
mod report;
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use attacks::Attack;
use bed::Bed;
use common::harness::HarnessArguments;
use report::Report;
use wire::Targets;

/// The name under which `cargo test` knows this.
const NAME: &str = "attack";
/// How many descriptors a node may have open: few, so that an attacker on this machine can have more.
pub(crate) const DESCRIPTORS_MAX: usize = 512;
/// What the latency of clients under attack may be, in terms of that without.
pub(crate) const RATIO_MAX: f64 = 3.0;
/// By how much the memory of a node may grow.
pub(crate) const GROWTH_MAX: u64 = 200 << 20;
/// How long a window without an attack is, beside attacks of the default length.
const UNDISTURBED: Duration = Duration::from_secs(1);
/// How many attacks there are between two such windows.
const ATTACKS_BETWEEN: usize = 3;

/// Attacks a cluster of three processes in every way that a caller can, and checks that clients that behave well hardly notice.
#[derive(Parser)]
#[command(name = NAME)]
struct Arguments {
    /// The attacks; all of them unless some are named.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    attacks: Vec<Attack>,
    /// For how long each attack lasts.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often the attacks are repeated, each time on a new cluster.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Print a JSON object for each attack, and one for the whole.
    #[arg(long)]
    json: bool,
    /// Report latencies, late first answers and changes of the leader without failing because of them: for machines that other
    /// work keeps busy.
    #[arg(long)]
    tolerate_stalls: bool,
    #[command(flatten)]
    harness: HarnessArguments,
    #[command(flatten)]
    attacker: AttackerArguments,
}

/// How this program starts itself as an attacker.
#[derive(clap::Args)]
struct AttackerArguments {
    #[arg(long, hide = true)]
    attacker: Option<Attack>,
    #[arg(long, hide = true, value_delimiter = ',', value_parser = target)]
    targets: Vec<(u64, SocketAddr)>,
    #[arg(long, hide = true, default_value_t = 0)]
    leader: u64,
    #[arg(long, hide = true, default_value_t = 0)]
    term: u64,
}

fn target(text: &str) -> Result<(u64, SocketAddr), String> {
    let (id, address) = text.split_once('=').ok_or("write ID=ADDRESS")?;
    let id = id.parse().map_err(|error| format!("{id}: {error}"))?;
    Ok((id, address.parse().map_err(|error| format!("{address}: {error}"))?))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Some(attack) = arguments.attacker.attacker {
        be_attacker(attack, arguments);
        return ExitCode::SUCCESS;
    }
    if !arguments.harness.selects(NAME) {
        return ExitCode::SUCCESS;
    }
    if arguments.harness.list {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    if arguments.attacks.is_empty() {
        if cfg!(debug_assertions) {
            println!("{NAME}: latencies under attack are measured on an optimized build: see .ci/attack");
            return ExitCode::SUCCESS;
        }
        arguments.attacks = Attack::value_variants().to_vec();
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let held = runtime.block_on(async {
        tokio::select! {
            held = attack(&arguments) => held,
            Ok(()) = tokio::signal::ctrl_c() => {
                eprintln!("interrupted");
                false
            }
        }
    });
    // The nodes end with the tasks that own them.
    drop(runtime);
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Attacks for the time that the arguments give, and reports on standard output.
fn be_attacker(attack: Attack, arguments: Arguments) {
    let AttackerArguments { targets, leader, term, .. } = arguments.attacker;
    let targets = Arc::new(Targets::new(targets, leader, term).expect("the leader is one of the targets"));
    let time = Duration::from_secs_f64(arguments.seconds);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let _time_is_over =
        runtime.block_on(async { tokio::time::timeout(time, attack.run(Arc::clone(&targets))).await });
    let mut counts = targets.counts();
    counts.processor_share = common::process::thread_cpu_time().as_secs_f64() / time.as_secs_f64();
    println!("{}", serde_json::to_string(&counts).expect("counters are numbers"));
}

/// Runs the attacks, and says whether all bars were met.
async fn attack(arguments: &Arguments) -> bool {
    let time = Duration::from_secs_f64(arguments.seconds);
    let undisturbed_time = UNDISTURBED.max(time / 2);
    let mut report = Report::new(arguments.json, arguments.tolerate_stalls);
    for _ in 0..arguments.rounds {
        let began = Instant::now();
        let mut bed: Option<Bed> = None;
        for (place, attack) in arguments.attacks.iter().enumerate() {
            let current = match &mut bed {
                Some(current) => current,
                None => bed.insert(Bed::start().await),
            };
            if place % ATTACKS_BETWEEN == 0 {
                report.undisturbed(current.undisturbed(undisturbed_time).await);
            }
            let attacked = current.attack(*attack, time).await;
            let is_harmed = !attacked.faults.is_empty() || !attacked.stalls.is_empty();
            report.attacked(*attack, attacked);
            if is_harmed && let Some(harmed) = bed.take() {
                harmed.abandon();
            }
        }
        if let Some(last) = bed {
            report.undisturbed(last.undisturbed(undisturbed_time).await);
            report.grown_in_all(last.growth_in_all());
            // In a task of its own: a broken promise is a panic, as in any test.
            report.checked(tokio::spawn(last.check()).await);
        }
        report.round(began.elapsed());
    }
    report.end()
}

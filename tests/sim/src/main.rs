//! The command line of the simulator of Raft clusters.
//!
//! ```text
//! cargo run --release -p traitwire-sim -- run --seeds 10000    all faults; exit code 1 when a rule is broken
//! cargo run --release -p traitwire-sim -- run --changes all      the same, and the membership changes in every run
//! cargo run --release -p traitwire-sim -- replay 4711          one seed again, with what happened line by line
//! cargo run --release -p traitwire-sim -- bugs                 the bank of bugs: each must be found
//! cargo run --release -p traitwire-sim -- stack --seeds 1000   whole nodes with their clients, in virtual time
//! cargo run --release -p traitwire-sim -- stack --row V14      one scenario of them; --show prints what happened
//! ```
//!
//! A seed decides everything: how many nodes there are, the network, the faults, the load and every chance in between. So a
//! run that breaks a rule is had again by its seed, with the same trace to the last event; `run` prints the command. Nothing
//! here waits, and nothing depends on the machine: time is simulated.
//!
//! What a run is stands in `plan.rs`, what goes wrong in `nemesis.rs`, and what must hold all the same in `invariants.rs`.
//! To follow a broken rule: `replay` prints each input of each core and what it made of it, the broken rule comes last.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use traitwire_sim::bank::{self, Entry, SEEDS_MAX};
use traitwire_sim::plan::{Changes, SeededBug};
use traitwire_sim::run::{self, Outcome, run_brief};
use traitwire_sim::stack::{self, ROWS, Row, StackPlan};

/// How many lines of what happened are printed for a run that broke a rule.
const LINES_SHOWN: usize = 60;

/// Simulates Raft clusters with faults, and checks every step.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs many seeds.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        start: u64,
        /// In which runs the membership changes; `some` are those whose seed is a multiple of four.
        #[arg(long, value_enum, default_value_t)]
        changes: Changes,
        /// Ends with one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs one seed and prints what happened.
    Replay {
        /// Which seed.
        seed: u64,
        /// Whether the membership changes, as in `run`.
        #[arg(long, value_enum, default_value_t)]
        changes: Changes,
        /// With a bug of the bank.
        #[arg(long)]
        bug: Option<String>,
    },
    /// Runs whole nodes with their clients in virtual time.
    Stack {
        /// How many seeds.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        start: u64,
        /// Runs this scenario instead of what the seed draws; `all` for all of them.
        #[arg(long)]
        row: Option<String>,
        /// Prints what happened, line by line.
        #[arg(long)]
        show: bool,
        /// Ends with one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs each bug of the bank until it is found.
    Bugs {
        /// Prints one line of JSON a bug.
        #[arg(long)]
        json: bool,
        /// Writes the table to `tests/sim/BUGS.md`.
        #[arg(long, conflicts_with = "only")]
        write: bool,
        /// Runs this one alone.
        #[arg(long)]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    // A panic of the code under test is a broken rule, and printed as one.
    let command = Arguments::parse().command;
    if !matches!(command, Command::Stack { .. }) {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let succeeded = match command {
        Command::Run { seeds, start, changes, json } => run(start, seeds, changes, json),
        Command::Replay { seed, changes, bug } => replay(seed, changes, bug.as_deref()),
        Command::Stack { seeds, start, row, show, json } => {
            run_stack(&(start..start.saturating_add(seeds)), row.as_deref(), show, json)
        }
        Command::Bugs { json, write, only } => bugs(json, write, only.as_deref()),
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(start: u64, seeds: u64, changes: Changes, json: bool) -> bool {
    let begun = Instant::now();
    let (mut events, mut simulated_us, mut changed) = (0, 0, 0);
    let mut broken = Vec::new();
    for seed in start..start.saturating_add(seeds) {
        let outcome = run_brief(changes.plan(seed, None));
        changed += outcome.counts.changes;
        events += outcome.counts.events;
        simulated_us += outcome.simulated_us;
        if let Some(violation) = &outcome.violation {
            eprintln!("seed {seed}: {violation}");
            broken.push(seed);
        }
    }
    if let Some(seed) = broken.first() {
        show(&run::replay(changes.plan(*seed, None)), LINES_SHOWN);
        let value = changes.to_possible_value();
        let changes = value.as_ref().map_or("some", clap::builder::PossibleValue::get_name);
        println!(
            "to see all of it: cargo run --release -p traitwire-sim -- replay {seed} --changes {changes}"
        );
    }
    let seconds = begun.elapsed().as_secs_f64();
    let events_per_s = (events as f64 / seconds).round();
    let simulated_hours = Duration::from_micros(simulated_us).as_secs_f64() / 3_600.0;
    let hours_per_min = (simulated_hours / (seconds / 60.0) * 10.0).round() / 10.0;
    println!(
        "{seeds} seeds in {seconds:.1} s, {} broke a rule; {changed} changes of the membership; {events} events, {events_per_s} a second; \
        {hours_per_min} hours of a cluster a minute",
        broken.len()
    );
    if json {
        let line = serde_json::json!({
            "seeds": seeds,
            "violations": broken.len(),
            "events": events,
            "changes": changed,
            "events_per_s": events_per_s,
            "cluster_hours_per_min": hours_per_min,
        });
        println!("{line}");
    }
    broken.is_empty()
}

/// Runs whole nodes: what each seed draws, or a scenario, or all of them.
fn run_stack(seeds: &std::ops::Range<u64>, row: Option<&str>, show: bool, json: bool) -> bool {
    let rows: Vec<Option<&Row>> = match row {
        None => vec![None],
        Some("all") => ROWS.iter().map(Some).collect(),
        Some(id) => ROWS.iter().filter(|row| row.id == id).map(Some).collect(),
    };
    if rows.is_empty() {
        let ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
        eprintln!("there is no such scenario; there are: {}", ids.join(", "));
        return false;
    }
    let begun = Instant::now();
    let mut total = stack::Totals::default();
    for row in rows {
        for seed in seeds.clone() {
            let plan = row.map_or_else(|| StackPlan::draw(seed), |row| row.plan(seed));
            let outcome = stack::run_plan(&plan, show);
            outcome.lines.iter().for_each(|line| println!("{line}"));
            total.add(&outcome);
            if let Some(violation) = &outcome.violation {
                let of = row.map(|row| format!(" --row '{}'", row.id)).unwrap_or_default();
                println!("seed {seed}: {violation}");
                println!("to see it: traitwire-sim stack --seeds 1 --start {seed} --show{of}");
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{total} in {seconds:.1} s");
    if json {
        println!("{}", total.json(seconds));
    }
    total.violations == 0
}

fn replay(seed: u64, changes: Changes, bug: Option<&str>) -> bool {
    let bug = match bug {
        None => None,
        Some(wanted) => match named(wanted) {
            Some(bug) => Some(bug),
            None => {
                eprintln!("there is no bug `{wanted}`: see tests/sim/BUGS.md");
                return false;
            }
        },
    };
    if let Some(SeededBug::Service(bug)) = bug {
        let outcome = stack::run_with_bug(&StackPlan::draw(seed), bug, true);
        outcome.lines.iter().for_each(|line| println!("{line}"));
        outcome.violation.iter().for_each(|violation| println!("seed {seed}: {violation}"));
        return outcome.violation.is_none();
    }
    let outcome = run::replay(changes.plan(seed, bug));
    show(&outcome, usize::MAX);
    println!("{:?}, trace {:016x}", outcome.counts, outcome.trace);
    outcome.violation.is_none()
}

fn show(outcome: &Outcome, lines_max: usize) {
    for line in &outcome.lines[outcome.lines.len().saturating_sub(lines_max)..] {
        println!("{line}");
    }
    match &outcome.violation {
        Some(violation) => println!("seed {}: {violation}", outcome.seed),
        None => println!("seed {}: all rules hold", outcome.seed),
    }
}

fn named(name: &str) -> Option<SeededBug> {
    bank::all().into_iter().find(|bug| bank::name(*bug) == name)
}

fn bugs(json: bool, write: bool, only: Option<&str>) -> bool {
    let mut entries = Vec::new();
    for bug in bank::all() {
        if only.is_some_and(|only| only != bank::name(bug)) {
            continue;
        }
        let entry = bank::find(bug, SEEDS_MAX);
        print_entry(&entry, json);
        entries.push(entry);
    }
    if write {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/BUGS.md");
        if let Err(error) = std::fs::write(path, bank::page(&entries)) {
            eprintln!("{path}: {error}");
            return false;
        }
    }
    entries.iter().all(|entry| entry.killer.is_some())
}

fn print_entry(entry: &Entry, json: bool) {
    let name = bank::name(entry.bug);
    if json {
        let killer = entry.killer.as_ref();
        let line = serde_json::json!({
            "bug": name,
            "found_by": killer.map(|killer| killer.by),
            "seeds": killer.map(|killer| killer.seeds),
            "rule": killer.map(|killer| killer.violation.rule.name()),
        });
        println!("{line}");
    } else if let Some(killer) = &entry.killer {
        println!("{name}: {} after {} seeds: {}", killer.by, killer.seeds, killer.violation.rule.name());
    } else {
        println!("{name}: found by nothing");
    }
}

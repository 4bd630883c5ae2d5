//! What a run tells: a line a round, for people or for programs, and the sum of it.

use std::any::Any;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::task::JoinError;

use crate::common::wait::BROKEN_PROMISE;
use crate::round::{Measured, Unmet};
use crate::scenario::Scenario;

const HEAD: &str =
    "      seed  scenario           ops  maybe    p99 ms  locks  terms  rss MB  files  disk MB  result";

/// With fewer rounds a slope of memory would be noise: each scenario should have come twice.
const SLOPE_ROUNDS_MIN: usize = 28;

/// Why a round is not ok. Only a violation says something about the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Something that the round needs has not happened, so that it has shown nothing.
    PreconditionNotMet,
    /// An assertion of the soak itself does not hold, or it was interrupted.
    Harness,
    /// The store has broken a promise.
    Violation,
}

impl Failure {
    /// What a task that has panicked was about, and what it said.
    pub(crate) fn of(failed: JoinError) -> (Self, String) {
        let said = words(failed);
        match said.strip_prefix(BROKEN_PROMISE) {
            Some(promise) => (Self::Violation, promise.to_owned()),
            None => (Self::Harness, said),
        }
    }

    /// The exit code of a run whose worst failure is this one. Code 2 is that of wrong arguments.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Violation => 1,
            Self::PreconditionNotMet => 3,
            Self::Harness => 4,
        }
    }

    /// The word in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::PreconditionNotMet => "precondition_not_met",
            Self::Harness => "harness_failure",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Violation => "VIOLATION",
            Self::PreconditionNotMet => "precondition not met",
            Self::Harness => "harness failure",
        }
    }
}

/// Tells, and adds up.
pub(crate) struct Report {
    is_json: bool,
    progress: ProgressBar,
    /// What the bar counts: seconds where there is a time, otherwise rounds.
    is_timed: bool,
    began: Instant,
    /// After each round: when that was, in hours, and the memory of a node then, in megabytes.
    memory: Vec<(f64, f64)>,
    rounds: u64,
    operations: usize,
    failures: Vec<Failure>,
}

impl Report {
    pub(crate) fn new(is_json: bool, rounds: u64, time: Option<Duration>) -> Self {
        let template = "{bar:30} {pos}/{len} {msg}";
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        // Hidden by itself where standard error is no terminal.
        let progress = ProgressBar::new(time.map_or(rounds, |time| time.as_secs())).with_style(style);
        if !is_json {
            println!("{HEAD}");
        }
        Self {
            is_json,
            progress,
            is_timed: time.is_some(),
            began: Instant::now(),
            memory: Vec::new(),
            rounds: 0,
            operations: 0,
            failures: Vec::new(),
        }
    }

    /// A round begins.
    pub(crate) fn begin(&self, seed: u64, scenario: Scenario) {
        let position = if self.is_timed { self.began.elapsed().as_secs() } else { self.rounds };
        self.progress.set_position(position);
        self.progress.set_message(format!("seed {seed}, {}", scenario.name()));
    }

    /// A round has kept all promises.
    pub(crate) fn round(&mut self, seed: u64, scenario: Scenario, it: &Measured) {
        let at = self.began.elapsed();
        let resident: u64 = it.nodes.iter().map(|node| node.resident_bytes).sum();
        self.memory.push((at.as_secs_f64() / 3_600.0, megabytes(resident as f64 / it.nodes.len() as f64)));
        self.rounds += 1;
        self.operations += it.operations;
        let resident = it.nodes.iter().map(|node| node.resident_bytes).max().unwrap_or(0);
        let descriptors = it.nodes.iter().map(|node| node.descriptors).max().unwrap_or(0);
        let data = it.nodes.iter().map(|node| node.data_bytes).max().unwrap_or(0);
        let p99_ms = it.p99.as_secs_f64() * 1_000.0;
        if self.is_json {
            let nodes = it.nodes.iter().map(|node| {
                json!({
                    "id": node.id,
                    "resident_bytes": node.resident_bytes,
                    "descriptors": node.descriptors,
                    "data_bytes": node.data_bytes,
                })
            });
            self.print_json(&json!({
                "seed": seed,
                "scenario": scenario.name(),
                "operations": it.operations,
                "maybe": it.maybe,
                "p99_ms": p99_ms,
                "lock_cycles": it.lock_cycles,
                "terms": it.terms,
                "snapshot_moved": it.snapshot_moved,
                "resident_bytes_max": resident,
                "nodes": nodes.collect::<Vec<_>>(),
                "result": "ok",
            }));
        } else {
            self.print(&format!(
                "{seed:>10}  {:<15} {:>6} {:>6} {p99_ms:>9.1} {:>6} {:>6} {:>7.1} {descriptors:>6} {:>8.1}  ok",
                scenario.name(),
                it.operations,
                it.maybe,
                it.lock_cycles,
                it.terms,
                megabytes(resident as f64),
                megabytes(data as f64),
            ));
        }
    }

    /// A round has shown nothing.
    pub(crate) fn unmet(&mut self, seed: u64, scenario: Scenario, unmet: &Unmet, repeat: &[String; 2]) {
        self.failure(seed, scenario, (Failure::PreconditionNotMet, &unmet.0), repeat);
    }

    /// A round has failed: why, and the commands that run it again, alone and with all before it.
    pub(crate) fn failure(
        &mut self,
        seed: u64,
        scenario: Scenario,
        (failure, why): (Failure, &str),
        repeat: &[String; 2],
    ) {
        self.failures.push(failure);
        let [alone, all] = repeat;
        if self.is_json {
            self.print_json(&json!({
                "seed": seed,
                "scenario": scenario.name(),
                "result": failure.name(),
                "why": why,
                "repeat": alone,
                "repeat_all": all,
            }));
        } else {
            self.print(&format!("{seed:>10}  {:<15} {}: {why}", scenario.name(), failure.title()));
            self.print(&format!("the round again: {alone}\nwith all before it: {all}"));
        }
    }

    /// The run is over. Gives its exit code: that of the worst failure, or 0.
    pub(crate) fn end(self) -> u8 {
        self.progress.finish_and_clear();
        let slope = slope(&self.memory);
        let seconds = self.began.elapsed().as_secs_f64();
        let count = |wanted: Failure| self.failures.iter().filter(|failure| **failure == wanted).count();
        let (violations, unmet, harness) =
            (count(Failure::Violation), count(Failure::PreconditionNotMet), count(Failure::Harness));
        if self.is_json {
            println!(
                "{}",
                json!({
                    "rounds": self.rounds,
                    "seconds": seconds,
                    "operations": self.operations,
                    "memory_mb_per_hour": slope,
                    "violations": violations,
                    "preconditions_not_met": unmet,
                    "harness_failures": harness,
                })
            );
        } else {
            let slope =
                slope.map_or("too few rounds for a slope".to_owned(), |it| format!("{it:+.2} MB an hour"));
            println!(
                "{} rounds ok in {seconds:.0} s, {} operations; memory: {slope}; violations: {violations}; \
                 preconditions not met: {unmet}; harness failures: {harness}",
                self.rounds, self.operations
            );
        }
        self.failures.into_iter().max().map_or(0, Failure::exit_code)
    }

    fn print_json(&self, line: &Value) {
        self.print(&line.to_string());
    }

    fn print(&self, line: &str) {
        self.progress.suspend(|| println!("{line}"));
    }
}

/// The slope of the line that fits the points best, without the first quarter of them; nothing where so few are left that it
/// would be noise.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let points = &points[points.len() / 4..];
    if points.len() < SLOPE_ROUNDS_MIN {
        return None;
    }
    let count = points.len() as f64;
    let (x_sum, y_sum) = points.iter().fold((0.0, 0.0), |(xs, ys), (x, y)| (xs + x, ys + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let products: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let squares: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    Some(products / squares)
}

fn megabytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

/// What a task that has panicked has said.
fn words(failed: JoinError) -> String {
    match failed.try_into_panic() {
        Ok(panic) => panic_words(panic.as_ref()),
        Err(other) => other.to_string(),
    }
}

fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

//! What the attacks did, a line each, and whether every bar was met.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinError;

use crate::attacks::Attack;
use crate::bed::{Attacked, percentile};
use crate::{GROWTH_MAX, RATIO_MAX};

const HEAD: &str = "attack            calls   p99 ms  undisturbed  ratio  longest ms  memory MB  attacker CPU     sent MB     read MB  result";

/// Collects measurements. A round is printed at its end, since its undisturbed value is known only then.
pub(crate) struct Report {
    is_json: bool,
    /// Whether latencies and what a stall can cause are reported without failing the run.
    tolerates_stalls: bool,
    undisturbed: Vec<Duration>,
    attacked: Vec<(Attack, Attacked)>,
    faults: Vec<String>,
    failures: usize,
}

impl Report {
    pub(crate) fn new(is_json: bool, tolerates_stalls: bool) -> Self {
        Self {
            is_json,
            tolerates_stalls,
            undisturbed: Vec::new(),
            attacked: Vec::new(),
            faults: Vec::new(),
            failures: 0,
        }
    }

    /// A window without an attack.
    pub(crate) fn undisturbed(&mut self, latencies: Vec<Duration>) {
        self.undisturbed.push(percentile(&latencies, 99));
    }

    pub(crate) fn attacked(&mut self, attack: Attack, it: Attacked) {
        let p99 = percentile(&it.latencies, 99);
        eprintln!(
            "{}: p99 {:.1} ms, {} faults",
            attack.name(),
            milliseconds(p99),
            it.faults.len() + it.stalls.len()
        );
        self.attacked.push((attack, it));
    }

    pub(crate) fn grown_in_all(&mut self, bytes: u64) {
        if bytes > GROWTH_MAX {
            self.faults.push(format!("the memory of a node has grown by {:.0} MB in all", megabytes(bytes)));
        }
    }

    /// The check of what clients saw has ended.
    pub(crate) fn checked(&mut self, result: Result<(), JoinError>) {
        if let Err(error) = result {
            self.faults.push(format!("the check of the store failed: {error}"));
        }
    }

    /// A round is over.
    pub(crate) fn round(&mut self, time: Duration) {
        let mut undisturbed = std::mem::take(&mut self.undisturbed);
        undisturbed.sort_unstable();
        let undisturbed = percentile(&undisturbed, 50);
        if !self.is_json {
            println!("{HEAD}");
        }
        let mut failed = 0;
        for (attack, it) in std::mem::take(&mut self.attacked) {
            failed += usize::from(!self.row(attack, &it, undisturbed));
        }
        let faults = std::mem::take(&mut self.faults);
        self.failures += failed + usize::from(!faults.is_empty());
        if self.is_json {
            let seconds = time.as_secs_f64();
            println!("{}", json!({ "seconds": seconds, "attacks_failed": failed, "faults": faults }));
        } else {
            println!("{:.0} s; attacks that missed a bar: {failed}", time.as_secs_f64());
            faults.iter().for_each(|fault| println!("{fault}"));
        }
    }

    /// Prints an attack's line; gives whether it met every bar.
    fn row(&self, attack: Attack, it: &Attacked, undisturbed: Duration) -> bool {
        let p99 = percentile(&it.latencies, 99);
        let longest = it.latencies.last().copied().unwrap_or_default();
        let ratio = p99.as_secs_f64() / undisturbed.as_secs_f64();
        let mut missed = it.faults.clone();
        if it.latencies.is_empty() {
            missed.push("clients made no calls".to_owned());
        }
        if it.growth_bytes > GROWTH_MAX {
            missed.push(format!("the memory of a node grew by {:.0} MB", megabytes(it.growth_bytes)));
        }
        if it.attacker.connections == 0 {
            missed.push("the attacker reached no node".to_owned());
        }
        let is_safe = missed.is_empty();
        missed.extend(it.stalls.iter().cloned());
        if ratio > RATIO_MAX {
            missed.push(format!("the 99th percentile is {ratio:.1} times the undisturbed one"));
        }
        if self.is_json {
            println!("{}", line(attack, it, (p99, longest, undisturbed, ratio), &missed));
        } else {
            let result = if missed.is_empty() { "ok".to_owned() } else { missed.join("; ") };
            println!(
                "{:<16} {:>6} {:>8.1} {:>12.1} {ratio:>6.1} {:>11.0} {:>10.0} {:>12.0}% {:>11.1} {:>11.1}  {result}",
                attack.name(),
                it.latencies.len(),
                milliseconds(p99),
                milliseconds(undisturbed),
                milliseconds(longest),
                megabytes(it.growth_bytes),
                100.0 * it.attacker.processor_share,
                megabytes(it.attacker.bytes_sent),
                megabytes(it.attacker.bytes_read),
            );
        }
        missed.is_empty() || (is_safe && self.tolerates_stalls)
    }

    /// Whether every bar was met.
    pub(crate) fn end(self) -> bool {
        self.failures == 0
    }
}

fn line(
    attack: Attack,
    it: &Attacked,
    (p99, longest, undisturbed, ratio): (Duration, Duration, Duration, f64),
    missed: &[String],
) -> Value {
    json!({
        "attack": attack.name(),
        "calls": it.latencies.len(),
        "p99_ms": milliseconds(p99),
        "undisturbed_p99_ms": milliseconds(undisturbed),
        "p99_ratio": ratio,
        "longest_ms": milliseconds(longest),
        "memory_growth_mb": megabytes(it.growth_bytes),
        "leader_kept": it.faults.is_empty(),
        "attacker": it.attacker,
        "missed": missed,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

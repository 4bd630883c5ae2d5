//! What is measured of a run: how many commits, how long each took, and what they cost.

use std::time::{Duration, Instant};

use crate::harness::histogram::Histogram;
use crate::harness::process::own_cpu;
use crate::harness::sample::median;

/// A clock for the time that passes and for the time that the processor spends on this process, in all of its threads.
pub struct Watch {
    begin: Instant,
    cpu: Duration,
}

impl Watch {
    /// Begins now.
    pub fn start() -> Self {
        Self { begin: Instant::now(), cpu: own_cpu() }
    }

    /// The figures of what was committed since.
    pub fn stop(self, commits: &Histogram) -> Sample {
        let (elapsed, cpu) = (self.begin.elapsed(), own_cpu() - self.cpu);
        Sample {
            commits_per_second: commits.total() as f64 / elapsed.as_secs_f64(),
            p50_us: commits.quantile_us(0.5),
            p99_us: commits.quantile_us(0.99),
            cpu_us: cpu.as_secs_f64() * 1e6 / commits.total().max(1) as f64,
        }
    }
}

/// The figures of one run, or the medians of several.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Sample {
    /// Commands that were committed and given to the leader's state machine, a second.
    pub commits_per_second: f64,
    /// From handing a command in to seeing it committed: the median.
    pub p50_us: f64,
    /// The same: what 99 of 100 do not exceed.
    pub p99_us: f64,
    /// The time of the processor for one commit, on all three nodes and by the clients.
    pub cpu_us: f64,
}

impl Sample {
    /// The median of each figure.
    pub fn medians(samples: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| median(samples.iter().map(figure));
        Self {
            commits_per_second: median(|it| it.commits_per_second),
            p50_us: median(|it| it.p50_us),
            p99_us: median(|it| it.p99_us),
            cpu_us: median(|it| it.cpu_us),
        }
    }
}

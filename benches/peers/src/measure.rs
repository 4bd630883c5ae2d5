//! What is measured of a run: how many commits, how long each took, and what they cost.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Latencies in buckets that are 1/32 wide.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Each doubling of a latency is cut into so many buckets, as a power of two.
const CUTS_LOG2: u32 = 5;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 << CUTS_LOG2], total: 0 }
    }
}

impl Histogram {
    /// Adds `count` commits that took this long.
    pub fn add(&mut self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(ns)] += count;
        self.total += count;
    }

    /// How many commits there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency, in microseconds, that this part of the commits does not exceed.
    pub fn quantile_us(&self, part: f64) -> f64 {
        let wanted = (part * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return lowest_of(bucket + 1) / 1e3;
            }
        }
        f64::NAN
    }
}

fn bucket_of(ns: u64) -> usize {
    let doublings = (ns | (1 << CUTS_LOG2)).ilog2() - CUTS_LOG2;
    ((doublings as usize) << CUTS_LOG2) + (ns >> doublings) as usize
}

fn lowest_of(bucket: usize) -> f64 {
    let cuts = 1 << CUTS_LOG2;
    if bucket < 2 * cuts {
        return bucket as f64;
    }
    let doublings = bucket / cuts - 1;
    (bucket % cuts + cuts) as f64 * f64::exp2(doublings as f64)
}

/// A clock for the time that passes and for the time that the processor spends on this process, in all of its threads.
pub struct Watch {
    begin: Instant,
    cpu: Duration,
}

impl Watch {
    /// Begins now.
    pub fn start() -> Self {
        Self { begin: Instant::now(), cpu: cpu_time() }
    }

    /// The figures of what was committed since.
    pub fn stop(self, commits: &Histogram) -> Sample {
        let (elapsed, cpu) = (self.begin.elapsed(), cpu_time() - self.cpu);
        Sample {
            commits_per_second: commits.total() as f64 / elapsed.as_secs_f64(),
            p50_us: commits.quantile_us(0.5),
            p99_us: commits.quantile_us(0.99),
            cpu_us: cpu.as_secs_f64() * 1e6 / commits.total().max(1) as f64,
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
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
        let median = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<_> = samples.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        Self {
            commits_per_second: median(|it| it.commits_per_second),
            p50_us: median(|it| it.p50_us),
            p99_us: median(|it| it.p99_us),
            cpu_us: median(|it| it.cpu_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_bucket_too_high() {
        for ns in [0_u64, 1, 31, 32, 33, 1_000, 123_456, 987_654_321] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(ns), 1);
            let found = histogram.quantile_us(0.5) * 1e3;
            assert!(found > ns as f64 && found <= ns as f64 * 33.0 / 32.0 + 1.0, "{ns}: {found}");
        }
    }

    #[test]
    fn quantiles_count_commits() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_micros(1), 98);
        histogram.add(Duration::from_micros(100), 2);
        assert!(histogram.quantile_us(0.5) < 1.1 && histogram.quantile_us(0.99) > 99.0);
        assert_eq!(histogram.total(), 100);
    }
}

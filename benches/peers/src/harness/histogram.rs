//! Latencies, counted in buckets.

use std::time::Duration;

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
    /// Adds `count` calls that took this long.
    pub fn add(&mut self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(ns)] += count;
        self.total += count;
    }

    /// How many calls there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency, in microseconds, that this part of the calls does not exceed; none where there are no calls.
    pub fn quantile_us(&self, part: f64) -> f64 {
        let wanted = (part * self.total as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if self.total > 0 && seen >= wanted {
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
    fn quantiles_count_calls() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantile_us(0.5).is_nan());
        histogram.add(Duration::from_micros(1), 98);
        histogram.add(Duration::from_micros(100), 2);
        assert!(histogram.quantile_us(0.5) < 1.1 && histogram.quantile_us(0.99) > 99.0);
        assert_eq!(histogram.total(), 100);
    }
}

//! The figures of a run, the medians of several, and how they are shown.

use serde::{Deserialize, Deserializer, Serialize};

use super::table::{Column, figure};

/// The figures of one run, or of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Calls that succeeded, a second.
    pub calls_per_second: f64,
    /// From the beginning of a call that succeeded to its end: the median.
    #[serde(deserialize_with = "number_or_null")]
    pub p50_us: f64,
    /// The same: what 99 of 100 do not exceed.
    #[serde(deserialize_with = "number_or_null")]
    pub p99_us: f64,
    /// Calls that failed. Of several runs it is the sum.
    pub errors: u64,
    /// Processor time of this process for a call.
    pub client_cpu_us: f64,
    /// Processor time of all servers together for a call.
    pub servers_cpu_us: f64,
}

impl Sample {
    /// The median of each figure of several runs, and all of their errors.
    pub fn medians(samples: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| median(samples.iter().map(figure));
        Self {
            calls_per_second: median(|it| it.calls_per_second),
            p50_us: median(|it| it.p50_us),
            p99_us: median(|it| it.p99_us),
            errors: samples.iter().map(|it| it.errors).sum(),
            client_cpu_us: median(|it| it.client_cpu_us),
            servers_cpu_us: median(|it| it.servers_cpu_us),
        }
    }

    /// Processor time of all processes together for a call, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.client_cpu_us + self.servers_cpu_us
    }

    /// The cells of the columns that [`columns`] names.
    pub fn cells(&self) -> [String; 6] {
        [
            figure(self.calls_per_second, 0),
            figure(self.p50_us, 0),
            figure(self.p99_us, 0),
            // So that it is seen that these figures are not those of an undisturbed run.
            if self.errors == 0 { "0".to_owned() } else { format!("**{}**", self.errors) },
            figure(self.client_cpu_us, 1),
            figure(self.servers_cpu_us, 1),
        ]
    }

    /// These figures, which are ours, beside those of another.
    pub fn over(&self, other: &Self) -> Ratios {
        Ratios {
            calls_per_second: self.calls_per_second / other.calls_per_second,
            p50: self.p50_us / other.p50_us,
            p99: self.p99_us / other.p99_us,
            cpu: self.cpu_us() / other.cpu_us(),
        }
    }
}

/// JSON has no number for a latency where there were no calls.
fn number_or_null<'a, D: Deserializer<'a>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The columns of a sample, of which the first one counts the calls.
pub fn columns(calls: &'static str) -> [Column<'static>; 6] {
    [calls, "p50 us", "p99 us", "errors", "client us", "servers us"].map(Column::Figure)
}

/// Our figures divided by those of another.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    /// Of the calls a second: above 1 where ours are more.
    pub calls_per_second: f64,
    /// Of the median latency: below 1 where ours is shorter.
    pub p50: f64,
    /// Of what 99 of 100 do not exceed.
    pub p99: f64,
    /// Of the processor time of all processes together for a call.
    pub cpu: f64,
}

/// The columns of ratios.
pub const RATIO_COLUMNS: [Column<'static>; 4] =
    [Column::Figure("ours/this: rate"), Column::Figure("p50"), Column::Figure("p99"), Column::Figure("CPU")];

/// The cells of these columns; dashes where ours was not measured.
pub fn ratio_cells(ratios: Option<Ratios>) -> [String; 4] {
    let cell = |of: fn(&Ratios) -> f64| figure(ratios.as_ref().map_or(f64::NAN, of), 2);
    [cell(|it| it.calls_per_second), cell(|it| it.p50), cell(|it| it.p99), cell(|it| it.cpu)]
}

/// The figure in the middle; of an even number, the higher one of the two.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_keep_all_errors() {
        let sample = |figure: f64, errors| Sample {
            calls_per_second: figure,
            p50_us: figure,
            p99_us: figure,
            errors,
            client_cpu_us: figure,
            servers_cpu_us: figure,
        };
        let medians = Sample::medians(&[sample(3.0, 1), sample(1.0, 0), sample(2.0, 4)]);
        assert_eq!((medians.p99_us, medians.errors), (2.0, 5));
    }
}

//! What was measured of a store with many keys, as a table with a column for each number of keys.

use anyhow::Result;
use serde::Serialize;

use crate::harness::Output;
use crate::harness::sample::{Sample, median};
use crate::harness::table::{Column, Table, figure, print_json};

/// One run with so many keys, or the medians of several.
#[derive(Clone, Serialize)]
pub struct Measured {
    /// How many keys.
    pub keys: usize,
    /// First puts a second.
    pub fills_per_second: f64,
    /// The memory of the largest node once all keys are there.
    pub resident_mib: f64,
    /// What a key adds to the memory of a node, on average.
    pub bytes_per_key: f64,
    /// Puts of keys that are there, by concurrency.
    pub puts: Vec<Puts>,
    /// A node that was killed and started again.
    pub restarted: Return,
    /// The same, without its data.
    pub refilled: Return,
}

/// Puts of random keys.
#[derive(Clone, Serialize)]
pub struct Puts {
    /// How many are under way at once.
    pub concurrency: usize,
    /// Their figures.
    #[serde(flatten)]
    pub sample: Sample,
    /// How many snapshots the leader took meanwhile.
    pub snapshots: usize,
    /// What 99 of 100 puts do not exceed that met a snapshot of the leader.
    pub p99_us_within: f64,
    /// The same of the others.
    pub p99_us_otherwise: f64,
}

/// A node that was started again.
#[derive(Clone, Copy, Serialize)]
pub struct Return {
    /// From its start until it answers.
    pub answers_ms: f64,
    /// From its start until it has applied all that the leader had then.
    pub applied_ms: f64,
    /// Whether it has a snapshot in the end.
    pub has_snapshot: bool,
}

impl Return {
    fn medians(all: &[Self]) -> Self {
        Self {
            answers_ms: median(all.iter().map(|it| it.answers_ms)),
            applied_ms: median(all.iter().map(|it| it.applied_ms)),
            has_snapshot: all.iter().all(|it| it.has_snapshot),
        }
    }
}

impl Puts {
    fn medians(all: &[&Self]) -> Self {
        let median =
            |figure: fn(&Self) -> f64| median(all.iter().map(|it| figure(it)).filter(|it| it.is_finite()));
        let samples: Vec<_> = all.iter().map(|it| it.sample).collect();
        Self {
            concurrency: all[0].concurrency,
            sample: Sample::medians(&samples),
            snapshots: all.iter().map(|it| it.snapshots).sum(),
            // A run without a snapshot says nothing of them.
            p99_us_within: median(|it| it.p99_us_within),
            p99_us_otherwise: median(|it| it.p99_us_otherwise),
        }
    }
}

impl Measured {
    fn medians(all: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| median(all.iter().map(figure));
        let puts = (0..all[0].puts.len())
            .map(|place| Puts::medians(&all.iter().map(|it| &it.puts[place]).collect::<Vec<_>>()));
        Self {
            keys: all[0].keys,
            fills_per_second: median(|it| it.fills_per_second),
            resident_mib: median(|it| it.resident_mib),
            bytes_per_key: median(|it| it.bytes_per_key),
            puts: puts.collect(),
            restarted: Return::medians(&all.iter().map(|it| it.restarted).collect::<Vec<_>>()),
            refilled: Return::medians(&all.iter().map(|it| it.refilled).collect::<Vec<_>>()),
        }
    }

    /// The lines of the table, each with what it is called.
    fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            ("first puts/s".to_owned(), figure(self.fills_per_second, 0)),
            ("largest node, MiB".to_owned(), figure(self.resident_mib, 0)),
            ("memory of a node for a key, bytes".to_owned(), figure(self.bytes_per_key, 0)),
        ];
        for puts in &self.puts {
            let [rate, p50, p99, errors, client, servers] = puts.sample.cells();
            let at = puts.concurrency;
            lines.extend([
                (format!("puts/s at {at}"), rate),
                (format!("p50 us at {at}"), p50),
                (format!("p99 us at {at}"), p99),
                (format!("errors at {at}"), errors),
                (format!("client us at {at}"), client),
                (format!("servers us at {at}"), servers),
                (format!("snapshots of the leader at {at}"), puts.snapshots.to_string()),
                (format!("p99 us during snapshots at {at}"), figure(puts.p99_us_within, 0)),
                (format!("p99 us otherwise at {at}"), figure(puts.p99_us_otherwise, 0)),
            ]);
        }
        for (what, back) in [("killed", self.restarted), ("without data", self.refilled)] {
            lines.extend([
                (format!("{what}: ms until it answers"), figure(back.answers_ms, 0)),
                (format!("{what}: ms until it has all"), figure(back.applied_ms, 0)),
            ]);
        }
        let by = if self.refilled.has_snapshot { "snapshot" } else { "log" };
        lines.push(("without data: it got a".to_owned(), by.to_owned()));
        lines
    }
}

/// Shows the medians; `samples` has the runs of each number of keys.
pub fn show(samples: &[Vec<Measured>], output: &Output) -> Result<()> {
    let medians: Vec<_> = samples.iter().map(|samples| Measured::medians(samples)).collect();
    if output.json {
        return print_json(&medians);
    }
    let heads: Vec<_> = medians.iter().map(|it| format!("{} keys", it.keys)).collect();
    let columns = [Column::Text("")].into_iter().chain(heads.iter().map(|head| Column::Figure(head)));
    let mut table = Table::new(columns);
    let columns: Vec<_> = medians.iter().map(Measured::lines).collect();
    for (place, (name, _)) in columns.first().into_iter().flatten().enumerate() {
        table.row([name.clone()].into_iter().chain(columns.iter().map(|lines| lines[place].1.clone())));
    }
    table.print();
    Ok(())
}

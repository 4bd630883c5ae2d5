//! What was measured: points, the file that keeps them, and a table.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::sweeps::Sweep;
use crate::harness::Output;
use crate::harness::sample::{self, Sample};
use crate::harness::table::{Column, Table, print_json};

/// One system that does one operation, at one size of what grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What grows.
    pub sweep: Sweep,
    /// Who is measured.
    pub system: String,
    /// What it does.
    pub operation: String,
    /// How much there is of what grows: operations, keys, entries or nodes.
    pub x: usize,
    /// How many operations are under way at once.
    pub concurrency: usize,
    /// The medians of the runs.
    #[serde(flatten)]
    pub median: Sample,
}

impl Point {
    /// Whether the figures are not those of an undisturbed run.
    pub fn is_bad(&self) -> bool {
        self.median.errors > 0 || self.is_empty()
    }

    /// Whether nothing has succeeded, so that there are no figures.
    pub fn is_empty(&self) -> bool {
        // In this way a figure that is no number is one of them.
        !(self.median.calls_per_second > 0.0 && self.median.cpu_us().is_finite())
    }

    /// What the lines of a picture are called.
    pub fn line(&self) -> String {
        format!("{} {}", self.system, self.operation)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sweep, x, median, .. } = self;
        let (errors, rate) = (median.errors, median.calls_per_second);
        write!(f, "{sweep} {x}, {}: {errors} errors, {rate:.0} a second", self.line())
    }
}

/// All points that were measured.
#[derive(Debug, Default, PartialEq)]
pub struct Points(Vec<Point>);

impl Points {
    fn path(folder: &Path) -> PathBuf {
        folder.join("growth.json")
    }

    /// The points that a folder keeps; none if there is no file of them.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = Self::path(folder);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Keeps them in a folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = Self::path(folder);
        std::fs::write(&path, self.text()?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(text)?))
    }

    /// A point a line, so that what differs between two files is seen.
    fn text(&self) -> Result<String> {
        let lines: Vec<_> = self.0.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        Ok(format!("[\n{}\n]\n", lines.join(",\n")))
    }

    /// Puts these in the place of all points of a sweep.
    pub fn replace(&mut self, sweep: Sweep, measured: Vec<Point>) {
        self.0.retain(|point| point.sweep != sweep);
        self.0.extend(measured);
        self.0.sort_by_key(|point| point.sweep);
    }

    /// The points of a sweep.
    pub fn of(&self, sweep: Sweep) -> Vec<Point> {
        self.0.iter().filter(|point| point.sweep == sweep).cloned().collect()
    }
}

/// Shows points as a table.
pub fn show(points: &[Point], output: &Output) -> Result<()> {
    if output.json {
        return print_json(points);
    }
    let head = [Column::Text("sweep"), Column::Figure("at"), Column::Text(""), Column::Figure("concurrency")];
    let mut table = Table::new(head.into_iter().chain(sample::columns("ops/s")));
    for point in points {
        let head =
            [point.sweep.to_string(), point.x.to_string(), point.line(), point.concurrency.to_string()];
        table.row(head.into_iter().chain(point.median.cells()));
    }
    table.print();
    Ok(())
}

#[cfg(test)]
impl Point {
    /// A point of which all figures are the same.
    pub fn example(system: &str, operation: &str, x: usize, figure: f64) -> Self {
        let median = Sample {
            calls_per_second: figure,
            p50_us: figure,
            p99_us: figure,
            errors: 0,
            client_cpu_us: figure,
            servers_cpu_us: figure,
        };
        let (system, operation) = (system.to_owned(), operation.to_owned());
        Self { sweep: Sweep::Concurrency, system, operation, x, concurrency: x, median }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(sweep: Sweep, x: usize) -> Point {
        Point { sweep, ..Point::example("traitwire", "put", x, 1.5) }
    }

    #[test]
    fn a_sweep_takes_the_place_of_its_points_alone() {
        let mut points = Points::default();
        points.replace(Sweep::Nodes, vec![point(Sweep::Nodes, 3)]);
        points.replace(Sweep::Calls, vec![point(Sweep::Calls, 1), point(Sweep::Calls, 16)]);
        points.replace(Sweep::Calls, vec![point(Sweep::Calls, 64)]);
        assert_eq!(points.0, [point(Sweep::Calls, 64), point(Sweep::Nodes, 3)]);
        assert_eq!(points.of(Sweep::Nodes), [point(Sweep::Nodes, 3)]);
        assert_eq!(points.of(Sweep::Keys), []);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Points::read(folder.path()).unwrap(), Points::default());
        let mut nothing = point(Sweep::Keys, 1_000);
        nothing.median.p50_us = f64::NAN;
        let points = Points(vec![point(Sweep::Log, 10), nothing]);
        points.write(folder.path()).unwrap();
        let read = Points::read(folder.path()).unwrap();
        assert_eq!(read.0[0], points.0[0]);
        assert!(read.0[1].median.p50_us.is_nan());
        Points::default().write(folder.path()).unwrap();
        assert_eq!(Points::read(folder.path()).unwrap(), Points::default());
        std::fs::write(Points::path(folder.path()), "{").unwrap();
        assert!(Points::read(folder.path()).is_err());
    }

    #[test]
    fn errors_and_a_rate_of_zero_are_bad() {
        let good = point(Sweep::Log, 10);
        let (mut failed, mut nothing, mut unknown) = (good.clone(), good.clone(), good.clone());
        failed.median.errors = 1;
        nothing.median.calls_per_second = 0.0;
        unknown.median.client_cpu_us = f64::NAN;
        let all = [&good, &failed, &nothing, &unknown];
        assert_eq!(
            all.map(|it| (it.is_bad(), it.is_empty())),
            [(false, false), (true, false), (true, true), (true, true)]
        );
        assert_eq!(failed.to_string(), "log 10, traitwire put: 1 errors, 2 a second");
    }
}

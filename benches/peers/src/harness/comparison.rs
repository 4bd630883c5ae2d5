//! Rows that stand beside ours.

use anyhow::Result;
use serde::Serialize;

use super::Output;
use super::sample::{self, Ratios, Sample};
use super::table::{Column, Table, print_json};

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    concurrency: usize,
    name: String,
    #[serde(flatten)]
    median: Sample,
    /// Our figures divided by those of this row; nothing where ours were not measured.
    ours_over_this: Option<Ratios>,
}

impl Row {
    /// The medians of a case and, where they were measured, of ours that it is compared with.
    pub fn new(concurrency: usize, name: String, median: &Sample, ours: Option<&Sample>) -> Self {
        let ours_over_this = ours.map(|ours| ours.over(median));
        Self { concurrency, name, median: *median, ours_over_this }
    }
}

/// Shows the rows; `calls` is what a call is called, a second.
pub fn show(rows: &[Row], calls: &'static str, output: &Output) -> Result<()> {
    if output.json {
        return print_json(rows);
    }
    let head = [Column::Figure("concurrency"), Column::Text("")];
    let columns = head.into_iter().chain(sample::columns(calls)).chain(sample::RATIO_COLUMNS);
    let mut table = Table::new(columns);
    for row in rows {
        let head = [row.concurrency.to_string(), row.name.clone()];
        table.row(head.into_iter().chain(row.median.cells()).chain(sample::ratio_cells(row.ours_over_this)));
    }
    table.print();
    Ok(())
}

//! Tables for people, which are Markdown, and lines of JSON for programs.

use serde::Serialize;

/// The head of a column.
#[derive(Clone, Copy)]
pub enum Column<'a> {
    /// Of words.
    Text(&'a str),
    /// Of numbers.
    Figure(&'a str),
}

impl<'a> Column<'a> {
    fn head(&self) -> &'a str {
        match self {
            Self::Text(head) | Self::Figure(head) => head,
        }
    }
}

/// A table whose columns are as wide as they must be.
pub struct Table<'a> {
    columns: Vec<Column<'a>>,
    rows: Vec<Vec<String>>,
}

impl<'a> Table<'a> {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column<'a>>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = cells.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(row);
    }

    /// Writes the table to standard output.
    pub fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let heads: Vec<_> = self.columns.iter().map(Column::head).collect();
        let width = |place: usize| {
            let cells = self.rows.iter().map(|row| row[place].chars().count());
            cells.chain([heads[place].chars().count(), "---:".len()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..heads.len()).map(width).collect();
        let rule = self.columns.iter().zip(&widths).map(|(column, width)| match column {
            Column::Text(_) => "-".repeat(*width),
            Column::Figure(_) => format!("{}:", "-".repeat(width - 1)),
        });
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        let mut text = String::new();
        for row in [heads, rule.collect()].iter().chain(&self.rows) {
            for ((cell, width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = match column {
                    Column::Text(_) => format!("| {cell:<width$} "),
                    Column::Figure(_) => format!("| {cell:>width$} "),
                };
                text.push_str(&cell);
            }
            text.push_str("|\n");
        }
        text
    }
}

/// A number with so many digits after the point; a dash where there is none.
pub fn figure(number: f64, digits: usize) -> String {
    if number.is_finite() { format!("{number:.digits$}") } else { "-".to_owned() }
}

/// Writes a line for each row to standard output.
pub fn print_json(rows: &[impl Serialize]) -> anyhow::Result<()> {
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_straight_columns() {
        let mut table = Table::new([Column::Text("who"), Column::Figure("n")]);
        table.row(["somebody".to_owned(), figure(1.25, 1)]);
        table.row(["µ".to_owned(), figure(1.0 / 0.0, 2)]);
        let expected = "\
| who      |    n |
| -------- | ---: |
| somebody |  1.2 |
| µ        |    - |
";
        assert_eq!(table.text(), expected);
    }
}

//! Text tables whose columns are as wide as their content. Numbers are right-aligned.

use std::fmt;

use kiln_export::plain_text;

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table: headings and rows.
#[derive(Clone, Debug)]
pub(crate) struct TextTable {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(crate) fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        let heading = |heading: String| plain_text(&heading).into_owned();
        let columns = columns.into_iter().map(|(text, align)| (heading(text.into()), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A line end inside a cell would break the row.
        self.rows.push(cells.into_iter().map(|cell| plain_text(&cell).into_owned()).collect());
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| heading.clone()).collect();
        let all = || std::iter::once(&headings).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for row in all() {
            let mut line = String::new();
            for ((cell, (_, align)), width) in row.iter().zip(&self.columns).zip(&widths) {
                let gap = if line.is_empty() { "" } else { "  " };
                let cell = match align {
                    Align::Left => format!("{gap}{cell:<width$}"),
                    Align::Right => format!("{gap}{cell:>width$}"),
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_is_as_wide_as_widest_cell() {
        let mut table =
            TextTable::new([("trial", Align::Right), ("name", Align::Left), ("µs", Align::Right)]);
        table.row(["1".to_owned(), "a long one".to_owned(), "12.5".to_owned()]);
        table.row(["1000".to_owned(), "b".to_owned(), "3".to_owned()]);
        assert_eq!(
            table.to_string(),
            "trial  name          µs\n    1  a long one  12.5\n 1000  b              3\n"
        );
    }
}

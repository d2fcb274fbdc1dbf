//! Comma-separated values (RFC 4180) that are safe to open in a spreadsheet. A spreadsheet would evaluate a
//! cell that contains a formula.

use std::borrow::Cow;
use std::fmt;

use kiln_export::plain_text;

/// A table: headings and rows.
#[derive(Clone, Debug)]
pub(crate) struct CsvTable(Vec<Vec<String>>);

impl CsvTable {
    pub(crate) fn new(headings: impl IntoIterator<Item = String>) -> Self {
        Self(vec![headings.into_iter().collect()])
    }

    /// Adds a row with one cell for each heading.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }
}

impl fmt::Display for CsvTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.0 {
            writeln!(f, "{}", line(row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// Returns one row, without a line end. For tables that do not fit into memory.
pub(crate) fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (index, cell) in cells.into_iter().enumerate() {
        line.push_str(if index > 0 { "," } else { "" });
        line.push_str(&quoted(&harmless(cell)));
    }
    line
}

/// Puts the text on one line. An apostrophe precedes text that a spreadsheet would evaluate as a formula.
/// Numbers stay unchanged.
fn harmless(cell: &str) -> Cow<'_, str> {
    let plain = plain_text(cell);
    // Tabs and line ends are already escaped here. Some spreadsheets also accept full-width signs.
    let begins = plain.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let is_number = cell.parse().is_ok_and(f64::is_finite);
    if begins && !is_number { format!("'{plain}").into() } else { plain }
}

/// Puts the cell in quotes if it contains a separator, a quote or a line end.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains(|c: char| matches!(c, ',' | ';' | '"' | '\'' | '|') || c.is_whitespace()) {
        format!("\"{}\"", cell.replace('"', "\"\"")).into()
    } else {
        cell.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+1-2", "'+1-2"),
            ("-cmd", "'-cmd"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("-1.5", "-1.5"),
            ("+2e3", "+2e3"),
            ("1-0-2", "1-0-2"),
            ("\t=1", "\\t=1"),
            ("\r=1", "\\r=1"),
        ] {
            assert_eq!(harmless(cell), expected);
        }
    }

    #[test]
    fn cells_with_separators_are_quoted() {
        let mut table = CsvTable::new(["a".to_owned(), "b\nc".to_owned()]);
        table.row(["x,y".to_owned(), "=HYPERLINK(\"http://x\";\"y\")".to_owned()]);
        table.row(["-1".to_owned(), String::new()]);
        let expected = "a,b\\nc\n\"x,y\",\"'=HYPERLINK(\"\"http://x\"\";\"\"y\"\")\"\n-1,\n";
        assert_eq!(table.to_string(), expected);
    }
}

//! Writes tables. A cell may contain a bar.

use std::fmt::Write;

use super::escape::escape;

/// A table with headings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Describes the table for screen readers.
    pub caption: String,
    /// Headings of the columns.
    pub headings: Vec<String>,
    /// Rows, each with one cell per heading.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Text, left-aligned.
    Text(String),
    /// A number, right-aligned.
    Number(String),
    /// A bar with a length from 0 to 1. The bar repeats the value of another cell.
    Bar(f64),
}

impl Table {
    pub(super) fn write(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "<div class=\"table\" tabindex=\"0\"><table>\n<caption>{}</caption>\n<thead><tr>",
            escape(&self.caption)
        );
        for (index, heading) in self.headings.iter().enumerate() {
            let is_number = matches!(self.rows.first().and_then(|row| row.get(index)), Some(Cell::Number(_)));
            let class = if is_number { " class=\"number\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(heading));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for cell in row {
                let _ = match cell {
                    Cell::Text(text) => write!(out, "<td>{}</td>", escape(text)),
                    Cell::Number(text) => write!(out, "<td class=\"number\">{}</td>", escape(text)),
                    Cell::Bar(share) => {
                        let width = if share.is_finite() { 100.0 * share.clamp(0.0, 1.0) } else { 0.0 };
                        write!(
                            out,
                            "<td class=\"bar\"><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" \
                             aria-hidden=\"true\">\
                             <rect class=\"blue\" width=\"{width:.1}\" height=\"8\"/></svg></td>"
                        )
                    }
                };
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table></div>\n");
    }
}

//! What a cell of a table holds.

/// Texts that stand for a missing value wherever they are, in lower case.
const MISSING: [&str; 9] = ["", "na", "nan", "null", "?", "n/a", "none", "<na>", "#n/a"];
/// Bytes of the longest of them.
const LONGEST_MISSING: usize = 4;

/// How cells are read.
#[derive(Clone, Debug)]
pub(super) struct CellFormat {
    /// What separates a number from its fraction.
    pub(super) decimal: char,
    /// Texts that stand for a missing value besides the usual ones.
    pub(super) missing: Vec<String>,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

impl CellFormat {
    /// What a cell holds whose column may hold numbers; `true` and `false` are 1 and 0.
    pub(super) fn read<'a>(&self, text: &'a str) -> Cell<'a> {
        // Most cells are numbers, and no usual text for a missing value is one.
        match self.number(text) {
            Some(value) if !self.is_listed(text) => Cell::Number(value),
            _ if self.is_missing(text) => Cell::Missing,
            _ if text.eq_ignore_ascii_case("true") => Cell::Number(1.0),
            _ if text.eq_ignore_ascii_case("false") => Cell::Number(0.0),
            _ => Cell::Text(text),
        }
    }

    /// Whether nothing is known of a cell.
    pub(super) fn is_missing(&self, text: &str) -> bool {
        text.len() <= LONGEST_MISSING && MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing))
            || self.is_listed(text)
    }

    fn is_listed(&self, text: &str) -> bool {
        self.missing.iter().any(|missing| missing == text)
    }

    /// The number that a cell holds, if it is one of single precision's range.
    fn number(&self, text: &str) -> Option<f64> {
        let value = if self.decimal == '.' {
            text.parse::<f64>().ok()?
        } else if text.contains('.') {
            // A point groups digits where a comma is the decimal sign; which number is meant is not guessed.
            return None;
        } else {
            text.replace(self.decimal, ".").parse::<f64>().ok()?
        };
        (value as f32).is_finite().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_numbers_gaps_or_text() {
        let format = CellFormat { decimal: '.', missing: vec!["-999".to_owned()] };
        for missing in ["", "NA", "NaN", "null", "?", "-999", "None"] {
            assert_eq!(format.read(missing), Cell::Missing, "{missing}");
        }
        assert_eq!(format.read("1.5e3"), Cell::Number(1500.0));
        assert_eq!((format.read("True"), format.read("FALSE")), (Cell::Number(1.0), Cell::Number(0.0)));
        assert_eq!(format.read("1,5"), Cell::Text("1,5"));
        assert_eq!(format.read("inf"), Cell::Text("inf"), "no number that can be learned from");
        let format = CellFormat { decimal: ',', missing: Vec::new() };
        assert_eq!(format.read("-1,5"), Cell::Number(-1.5));
        assert_eq!(format.read("1.234,5"), Cell::Text("1.234,5"));
        assert_eq!(format.read("12"), Cell::Number(12.0));
    }
}

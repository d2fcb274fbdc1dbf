//! Interprets a cell of a table.

/// Lower-case texts that always mean a missing value.
const MISSING: [&str; 9] = ["", "na", "nan", "null", "?", "n/a", "none", "<na>", "#n/a"];
/// Length in bytes of the longest text in [`MISSING`].
const LONGEST_MISSING: usize = 4;

/// The format of cells.
#[derive(Clone, Debug)]
pub(super) struct CellFormat {
    /// The decimal separator.
    pub(super) decimal: char,
    /// Further texts that mean a missing value.
    pub(super) missing: Vec<String>,
}

/// The content of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

impl CellFormat {
    /// Interprets a cell that may be a number. `true` and `false` are 1 and 0.
    pub(super) fn read<'a>(&self, text: &'a str) -> Cell<'a> {
        // Most cells are numbers, and none of the usual texts for a missing value is a number.
        match self.number(text) {
            Some(value) if !self.is_listed(text) => Cell::Number(value),
            _ if self.is_missing(text) => Cell::Missing,
            _ if text.eq_ignore_ascii_case("true") => Cell::Number(1.0),
            _ if text.eq_ignore_ascii_case("false") => Cell::Number(0.0),
            _ => Cell::Text(text),
        }
    }

    /// Whether the text means a missing value.
    pub(super) fn is_missing(&self, text: &str) -> bool {
        text.len() <= LONGEST_MISSING && MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing))
            || self.is_listed(text)
    }

    fn is_listed(&self, text: &str) -> bool {
        self.missing.iter().any(|missing| missing == text)
    }

    /// The number in a cell, if single precision can represent its magnitude.
    fn number(&self, text: &str) -> Option<f64> {
        let value = if self.decimal == '.' {
            text.parse::<f64>().ok()?
        } else if text.contains('.') {
            // If the decimal separator is a comma, a point would group digits. Do not guess which number is
            // meant.
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
    fn read_returns_numbers_missing_values_and_texts() {
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

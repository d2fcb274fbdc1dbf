//! The errors of tables.

use std::path::{Path, PathBuf};

use kiln_space::{SettingsError, SpaceError};
use thiserror::Error;

/// A table of results that cannot be read, or that contradicts itself.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The file cannot be read.
    #[error("{}: cannot read the table; check `file` and the data folder", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The cause of the failure.
        source: kiln_files::FileError,
    },
    /// The file starts like a gzip file but cannot be unpacked.
    #[error("{}: the gzip file ends too early or is damaged; get it anew", path.display())]
    Packed {
        /// Path of the file.
        path: PathBuf,
        /// The cause of the failure.
        source: std::io::Error,
    },
    /// The file is larger than allowed.
    #[error("{}: more than {limit} bytes when unpacked; split the table", path.display())]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A line is not CSV, or has a different number of fields than the header.
    #[error("{}: not a table of comma-separated values ({fault})", path.display())]
    Csv {
        /// Path of the file.
        path: PathBuf,
        /// The fault and its line.
        fault: CsvFault,
    },
    /// A column is not in the header.
    #[error("{}: no column `{column}`; there are {}", path.display(), listed(known))]
    MissingColumn {
        /// Path of the file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// Columns of the file, in backticks.
        known: Vec<String>,
    },
    /// A field is not a finite number.
    #[error("{}:{line}: `{column}` is `{found}`, expected a finite number", path.display())]
    Number {
        /// Path of the file.
        path: PathBuf,
        /// Line number, starting at 1.
        line: u64,
        /// Name of the column.
        column: String,
        /// Text of the field.
        found: String,
    },
    /// A key does not name a genotype.
    #[error("{}:{line}: `{column}` is `{found}`, expected {expected}", path.display())]
    Key {
        /// Path of the file.
        path: PathBuf,
        /// Line number, starting at 1.
        line: u64,
        /// Name of the column.
        column: String,
        /// Text of the field.
        found: String,
        /// The accepted notation.
        expected: &'static str,
        /// Details, if there are any.
        source: Option<Box<SpaceError>>,
    },
    /// Two rows have the same key.
    #[error("{}:{line}: `{entry}` stands on line {first} already; keep one of them", path.display())]
    Duplicate {
        /// Path of the file.
        path: PathBuf,
        /// Line number of the second row, starting at 1.
        line: u64,
        /// The repeated key.
        entry: String,
        /// Line number of the first row.
        first: u64,
    },
    /// A table that is joined with another table lacks a row of that table.
    #[error("{}: no row `{key}`, which the other table has", path.display())]
    MissingRow {
        /// Path of the file.
        path: PathBuf,
        /// Key of the missing row.
        key: String,
    },
    /// No row has a value of the signal.
    #[error("{}: no row has a value in column `{column}`", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
        /// Column of the signal.
        column: String,
    },
}

/// The reason why bytes are not CSV.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CsvFault {
    /// A line has a different number of fields than the header.
    #[error("line {line}: found {found} fields, expected {expected} as in the first line")]
    Fields {
        /// Line number, starting at 1.
        line: u64,
        /// Number of fields in the line.
        found: u64,
        /// Number of fields in the header.
        expected: u64,
    },
    /// A line is not UTF-8 text.
    #[error("line {line}: found bytes that are no UTF-8")]
    Utf8 {
        /// Line number, starting at 1.
        line: u64,
    },
    /// The bytes cannot be read.
    #[error("{0}")]
    Io(std::io::Error),
    /// The parser reports another kind of error.
    #[error("{0:?}")]
    Other(csv::ErrorKind),
}

impl TableError {
    pub(crate) fn missing_column(path: &Path, column: &str, header: &[String]) -> Self {
        Self::MissingColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            known: header.iter().map(|known| format!("`{known}`")).collect(),
        }
    }
}

/// Formats names of columns as a list.
fn listed(columns: &[String]) -> String {
    if columns.is_empty() { "none, the file is empty".to_owned() } else { columns.join(", ") }
}

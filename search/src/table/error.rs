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
        /// The file.
        path: PathBuf,
        /// Why.
        source: kiln_files::FileError,
    },
    /// The file starts like a gzip file but cannot be unpacked.
    #[error("{}: the gzip file ends too early or is damaged; get it anew", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The file is larger than allowed.
    #[error("{}: more than {limit} bytes when unpacked; split the table", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// A line is not CSV, or has a different number of fields than the header.
    #[error("{}: not a table of comma-separated values ({fault})", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Where and why.
        fault: CsvFault,
    },
    /// A column is not in the header.
    #[error("{}: no column `{column}`; there are {}", path.display(), listed(known))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: String,
        /// Columns of the file, in backticks.
        known: Vec<String>,
    },
    /// A field is not a finite number.
    #[error("{}:{line}: `{column}` is `{found}`, expected a finite number", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// The field.
        found: String,
    },
    /// A key does not name a genotype.
    #[error("{}:{line}: `{column}` is `{found}`, expected {expected}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// The field.
        found: String,
        /// What is accepted.
        expected: &'static str,
        /// Details, if there are any.
        source: Option<Box<SpaceError>>,
    },
    /// Two rows have the same key.
    #[error("{}:{line}: `{entry}` stands on line {first} already; keep one of them", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// Line of the second one, from 1.
        line: u64,
        /// The key.
        entry: String,
        /// Line of the first one.
        first: u64,
    },
    /// A table that is joined with another table lacks one of that table's rows.
    #[error("{}: no row `{key}`, which the other table has", path.display())]
    MissingRow {
        /// The file.
        path: PathBuf,
        /// Key of the row.
        key: String,
    },
    /// No row has a value of the signal.
    #[error("{}: no row has a value in column `{column}`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Column of the signal.
        column: String,
    },
}

/// Why bytes are not CSV.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CsvFault {
    /// A line has a different number of fields than the header.
    #[error("line {line}: found {found} fields, expected {expected} as in the first line")]
    Fields {
        /// Line, from 1.
        line: u64,
        /// Fields of the line.
        found: u64,
        /// Fields of the header.
        expected: u64,
    },
    /// A line is not text.
    #[error("line {line}: found bytes that are no UTF-8")]
    Utf8 {
        /// Line, from 1.
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

//! Errors of device files, measurements and predictions.

use kiln_space::{SettingsError, SpaceError};
use thiserror::Error;

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HwError {
    /// No built-in device has this name.
    #[error("there is no device `{name}`; known: {known}")]
    UnknownDevice {
        /// Requested name.
        name: String,
        /// Known names, comma separated.
        known: String,
    },
    /// A cost model does not support an operation or a format.
    #[error("`{model}` has no cost for layer `{layer}` ({what})")]
    Unsupported {
        /// Name of the cost model.
        model: String,
        /// Name of the layer.
        layer: String,
        /// The unsupported operation or format.
        what: String,
    },
    /// A value in a device file is out of range.
    #[error("{file}: `{key}` is {found}, expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// Dotted key.
        key: String,
        /// The value.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A device file cannot be read.
    #[error("{file}: cannot be read ({problem}); give the path of a device file, or a built-in `device`")]
    Read {
        /// File.
        file: String,
        /// The system's error, or that the file is too large.
        problem: String,
    },
    /// The settings of a `[[hardware]]` table cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A device file is not valid TOML or has unknown or missing keys.
    #[error("{file}: {problem}")]
    Parse {
        /// File.
        file: String,
        /// The parser's message, with line.
        problem: String,
    },
    /// A file of measurements cannot be read.
    #[error("{file}: cannot be read ({problem}); give the path of a CSV file, plain or gzipped")]
    ReadMeasurements {
        /// File.
        file: String,
        /// The error of the system or of decompression.
        problem: String,
    },
    /// A file of measurements exceeds a limit.
    #[error("{file}: more than {limit} {what}; split the file")]
    LargeMeasurements {
        /// File.
        file: String,
        /// Bytes or lines.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A file is not CSV, or a line has a different number of fields than the header.
    #[error("{file}: not a table of comma-separated values ({problem})")]
    Csv {
        /// File.
        file: String,
        /// The parser's message, with line.
        problem: String,
    },
    /// A column is not in the header.
    #[error("{file}: no column `{column}`; the columns are {}", known.join(", "))]
    MissingColumn {
        /// File.
        file: String,
        /// Requested column.
        column: String,
        /// Columns of the file, in backticks.
        known: Vec<String>,
    },
    /// A field of a table has an invalid value.
    #[error("{file}:{line}: `{column}` is `{found}`, expected {expected}")]
    Field {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// The value.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A field of a table does not name a network of the space.
    #[error("{file}:{line}: `{column}` is `{found}`, which is not a network of the space ({source})")]
    Network {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// The value.
        found: String,
        /// Why the space refuses it.
        source: Box<SpaceError>,
    },
    /// Too few networks were measured for a fit.
    #[error("{found} measured networks are too few for a fit, expected at least {needed}; measure more")]
    TooFewMeasurements {
        /// Number of measured networks.
        found: usize,
        /// Minimum number.
        needed: usize,
    },
    /// A latency cannot be used in a fit.
    #[error("the latency {what} of network {index} is {found} us, expected a finite number above 0")]
    Latency {
        /// Index among the measurements.
        index: usize,
        /// `measured` or `predicted`.
        what: &'static str,
        /// The latency.
        found: String,
    },
    /// The solver of a calibration failed.
    #[error("the calibration found no fit ({problem}); check the measurements and the device file")]
    Solver {
        /// The solver's error.
        problem: String,
    },
}

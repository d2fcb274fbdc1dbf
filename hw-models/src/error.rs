//! What can be wrong with a device file or a prediction.

use kiln_space::{SettingsError, SpaceError};
use thiserror::Error;

/// An error of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HwError {
    /// No device file has this name.
    #[error("there is no device `{name}`; known: {known}")]
    UnknownDevice {
        /// Name asked for.
        name: String,
        /// Known names, comma separated.
        known: String,
    },
    /// A model has no number for an operation or a format.
    #[error("`{model}` has no cost for layer `{layer}` ({what})")]
    Unsupported {
        /// Name of the cost model.
        model: String,
        /// Name of the layer.
        layer: String,
        /// Operation or format without a number.
        what: String,
    },
    /// A device file or model setting cannot be used.
    #[error("{file}: `{key}` is {found}, expected {expected}")]
    Value {
        /// File, or `settings`.
        file: String,
        /// Dotted key.
        key: String,
        /// What was found.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A device file cannot be read.
    #[error(
        "{file}: cannot be read ({problem}); give the path of a device file, or `device` with a known name"
    )]
    Read {
        /// File.
        file: String,
        /// What the operating system says, or that the file is too large.
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
        /// What the operating system or the unpacking says.
        problem: String,
    },
    /// A file of measurements is larger than any that makes sense.
    #[error("{file}: more than {limit} {what}; split the file")]
    LargeMeasurements {
        /// File.
        file: String,
        /// Bytes or lines.
        what: &'static str,
        /// How many are read.
        limit: u64,
    },
    /// A line is not CSV, or has another number of fields than the header.
    #[error("{file}: not a table of comma-separated values ({problem})")]
    Csv {
        /// File.
        file: String,
        /// The parser's message, with line.
        problem: String,
    },
    /// A column is not in the header.
    #[error("{file}: no column `{column}`; there are {}", known.join(", "))]
    MissingColumn {
        /// File.
        file: String,
        /// Column asked for.
        column: String,
        /// Columns of the file, in backticks.
        known: Vec<String>,
    },
    /// A field of a table cannot be.
    #[error("{file}:{line}: `{column}` is `{found}`, expected {expected}")]
    Field {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// What stands there.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A field of a table names no network of the space.
    #[error("{file}:{line}: `{column}` is `{found}`, which is no network of the space ({source})")]
    Network {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// What stands there.
        found: String,
        /// Why.
        source: Box<SpaceError>,
    },
    /// There are not enough measurements for a fit.
    #[error("{found} measured networks are too few for a fit, expected at least {needed}; measure more")]
    TooFewMeasurements {
        /// Measured networks.
        found: usize,
        /// Fewest that are fitted to.
        needed: usize,
    },
    /// A latency is nothing that a fit can use.
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
        /// What the solver says.
        problem: String,
    },
}

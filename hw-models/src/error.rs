//! Errors of device files, measurements and predictions.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use kiln_files::FileError;
use kiln_space::{NumberFormat, SettingsError, SpaceError};
use thiserror::Error;

/// An error of this crate. Memoized predictions clone errors, so inner errors are in an `Arc`.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HwError {
    /// No built-in device has this name.
    #[error("there is no device `{name}`; known: {}", known.join(", "))]
    UnknownDevice {
        /// Requested name.
        name: String,
        /// Known names.
        known: Vec<&'static str>,
    },
    /// A cost model does not support an operation or a format.
    #[error("`{model}` has no cost for layer `{layer}` ({lack})")]
    Unsupported {
        /// Name of the cost model.
        model: String,
        /// Name of the layer.
        layer: String,
        /// What the model lacks.
        lack: Lack,
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
    #[error(
        "{file}: cannot be read ({}); give the path of a device file, or a built-in `device`",
        error.problem()
    )]
    Read {
        /// File.
        file: String,
        /// The system's error, or the error that the file is too large.
        error: Arc<FileError>,
    },
    /// The settings of a `[[hardware]]` table cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A device file is not valid TOML or has unknown or missing keys.
    #[error("{file}:{line}: {}{}", quoted_key(key.as_deref()), error.message())]
    Parse {
        /// File.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Key at that line, if the line has one.
        key: Option<String>,
        /// The parser's error.
        error: Box<toml::de::Error>,
    },
    /// A file of measurements cannot be read.
    #[error("{file}: cannot be read ({}); give the path of a CSV file, plain or gzipped", error.problem())]
    ReadMeasurements {
        /// File.
        file: String,
        /// The error from the system or from decompression.
        error: Arc<FileError>,
    },
    /// A file of measurements exceeds a limit.
    #[error("{file}: more than {limit} {what}; split the file")]
    LargeMeasurements {
        /// File.
        file: String,
        /// What the limit counts: bytes or lines.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A file is not CSV, or a line has a different number of fields than the header.
    #[error("{file}: not a table of comma-separated values ({problem})")]
    Csv {
        /// File.
        file: String,
        /// What is wrong with the file.
        problem: Arc<CsvProblem>,
    },
    /// A column is not in the header.
    #[error("{file}: no column `{column}`; the columns are `{}`", known.join("`, `"))]
    MissingColumn {
        /// File.
        file: String,
        /// Requested column.
        column: String,
        /// Columns of the file.
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
        /// The space's error.
        source: Box<SpaceError>,
    },
    /// The model `fitted` was asked of a device file without measured networks.
    #[error("`{device}` has no measured networks; fit its device file with `kiln hw fit --model fitted`")]
    NotFitted {
        /// The device.
        device: String,
    },
    /// No shipped predictor has this name.
    #[error("no predictor `{name}` comes with Kiln; known: {}, or `all` or `none`", known.join(", "))]
    UnknownShipped {
        /// Requested name.
        name: String,
        /// Known names.
        known: Vec<String>,
    },
    /// Measured networks do not predict each other.
    #[error(
        "{file}: the measurements contradict each other: {outliers} of {networks} networks differ from what \
         the others say by more than a factor of 3, and predictions order networks with a rank correlation \
         of {spearman:.2}{}; check the column and its unit", said_first(*first)
    )]
    Contradictory {
        /// File.
        file: String,
        /// Number of outliers.
        outliers: usize,
        /// Number of networks.
        networks: usize,
        /// Rank correlation of networks with the predictions from the others.
        spearman: f64,
        /// Line, latency and expected latency in microseconds of the first outlier.
        first: Option<(u64, f64, f64)>,
    },
    /// Latencies of one column seem to have two units.
    #[error(
        "{file}:{line}: `{column}` is {found}, but another network takes {factor:.0} times as long and none \
         lies between; the column seems to mix units"
    )]
    MixedUnits {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// The latency, in the column's unit.
        found: f64,
        /// Quotient of the medians of the two groups.
        factor: f64,
    },
    /// A known column from which the column to predict can be read off.
    #[error(
        "{file}: the known column `{known}` is `{target}` times {factor:.6}; leave it out, or the evaluation \
         would predict a device from itself"
    )]
    CopiedColumn {
        /// File.
        file: String,
        /// The known column.
        known: String,
        /// The column to predict.
        target: String,
        /// Their quotient.
        factor: f64,
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
        /// The latency in microseconds.
        found: f64,
    },
    /// A model of kernels was asked of a device file without any that it can use.
    #[error("`{device}` has no measured kernels for the model `{model}`; {}", measure_hint(model))]
    NoKernels {
        /// The device.
        device: String,
        /// Name of the cost model.
        model: &'static str,
    },
    /// A model that adds up kernels was asked of a device on which that is known to fail.
    #[error(
        "`{model}` adds up the latencies of kernels, which fails on `{device}` ({source_text}); use the model \
         `fitted` or `roofline`"
    )]
    DoesNotAddUp {
        /// The device.
        device: String,
        /// Name of the cost model.
        model: &'static str,
        /// Where that is known from.
        source_text: String,
    },
    /// Too few kernels were measured for a fit.
    #[error("{found} measured kernels are too few for a fit, expected at least {needed}; measure more")]
    TooFewKernels {
        /// Number of measured kernels.
        found: usize,
        /// Minimum number.
        needed: usize,
    },
    /// Measured kernels do not predict each other.
    #[error(
        "{file}: the measurements contradict each other: {outliers} of {kernels} kernels differ from what the \
         others say by more than a factor of 3{}; check the column and its unit", said_first(*first)
    )]
    ContradictoryKernels {
        /// File.
        file: String,
        /// Number of outliers.
        outliers: usize,
        /// Number of kernels that were predicted from others.
        kernels: usize,
        /// Line, latency and expected latency in microseconds of the first outlier.
        first: Option<(u64, f64, f64)>,
    },
    /// The solver of a calibration failed.
    #[error("the calibration found no fit ({error}); check the measurements and the device file")]
    Solver {
        /// The solver's error.
        error: Arc<dyn StdError + Send + Sync>,
    },
}

/// The reason why a cost model cannot predict a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// The device has no rate for the layer's format.
    Format {
        /// Operation of the layer.
        op: &'static str,
        /// The format.
        format: NumberFormat,
        /// Formats of the device.
        known: Vec<NumberFormat>,
    },
    /// The layer's weights and activations have formats that no kernel supports together.
    Formats {
        /// Operation of the layer.
        op: &'static str,
        /// Format of the weights.
        weights: NumberFormat,
        /// Format of the activations.
        activations: NumberFormat,
    },
    /// A lookup table does not contain the kernel.
    NotInTable {
        /// The kernel.
        kernel: String,
        /// Number of kernels in the table.
        kernels: usize,
    },
    /// Another reason, in words. Cost models of other programs use this variant.
    Other(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { op, format, known } => {
                let known: Vec<&str> = known.iter().map(|format| format.name()).collect();
                write!(f, "`{op}` in {format}; the device has {}", known.join(", "))
            }
            Self::Formats { op, weights, activations } => {
                write!(f, "`{op}` with {weights} weights and {activations} activations")
            }
            Self::NotInTable { kernel, kernels } => {
                write!(f, "`{kernel}` is not among the {kernels} kernels that were measured")
            }
            Self::Other(lack) => f.write_str(lack),
        }
    }
}

/// Why a file is not a table of comma-separated values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CsvProblem {
    /// A line has a different number of fields than the header.
    #[error("line {line}: found {found} fields, expected {expected} as in the first line")]
    Fields {
        /// Line, from 1.
        line: u64,
        /// Number of fields.
        found: u64,
        /// Number of fields of the header.
        expected: u64,
    },
    /// A line is not UTF-8.
    #[error("line {line}: found bytes that are not UTF-8")]
    NotText {
        /// Line, from 1.
        line: u64,
    },
    /// Another error of the parser.
    #[error(transparent)]
    Parser(csv::Error),
}

fn measure_hint(model: &str) -> &'static str {
    if model == "table" {
        "measure them with `kiln hw measure --kernels --table`"
    } else {
        "measure them with `kiln hw measure --kernels`, or fit the file with `kiln hw fit --model kernels`"
    }
}

fn said_first(first: Option<(u64, f64, f64)>) -> String {
    first.map_or_else(String::new, |(line, found, expected)| {
        format!("; line {line} says {found} us where {expected:.0} us are expected")
    })
}

fn quoted_key(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!("`{key}`: "))
}

//! Errors from checking, writing and reading a network.

use std::path::PathBuf;

use kiln_space::{NumberFormat, Shape, SpaceError};
use thiserror::Error;

use crate::onnx::OnnxError;

/// An error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The model lacks an array that its architecture needs.
    #[error("array `{name}` is missing from the model")]
    MissingArray {
        /// Name of the array.
        name: String,
    },
    /// The model has an array that no layer uses.
    #[error("array `{name}` belongs to no layer of the architecture; arrays are named `<layer>.<part>`")]
    UnknownArray {
        /// Name of the array.
        name: String,
    },
    /// A file of arrays is no safetensors file.
    #[error("the file is no safetensors file ({problem})")]
    Safetensors {
        /// The problem.
        problem: String,
    },
    /// An array that was read is not in single precision.
    #[error("array `{name}` is stored as {found}, expected F32")]
    ArrayType {
        /// Name of the array.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// The shape of an array differs from what its layer needs.
    #[error("array `{name}` has shape {found:?}, expected {expected:?}")]
    ArrayShape {
        /// Name of the array.
        name: String,
        /// Actual shape.
        found: Vec<usize>,
        /// Shape that the layer needs.
        expected: Vec<usize>,
    },
    /// The number of values does not match the shape of the array.
    #[error("array `{name}` holds {found} values, expected {expected} from its shape")]
    ArrayLength {
        /// Name of the array.
        name: String,
        /// Actual number of values.
        found: usize,
        /// Number of values that the shape implies.
        expected: usize,
    },
    /// An array contains a value that cannot be used.
    #[error("array `{name}` holds `{value}` at position {index}, expected {expected}")]
    ArrayValue {
        /// Name of the array.
        name: String,
        /// Position in the flat array.
        index: usize,
        /// The value.
        value: f32,
        /// What is accepted.
        expected: &'static str,
    },
    /// An 8-bit value has no quantization grid.
    #[error(
        "the model does not say on which grid the output of layer `{layer}` is rounded to 8 bits; \
         calibrate it"
    )]
    MissingGrid {
        /// Name of the layer.
        layer: String,
    },
    /// The model has a quantization grid for a value that is not rounded to 8 bits.
    #[error(
        "the model has a grid for layer `{layer}`, whose output is not rounded to 8 bits on a grid of its own"
    )]
    UnknownGrid {
        /// Name of the layer.
        layer: String,
    },
    /// The scale of a quantization grid is invalid.
    #[error("the grid of layer `{layer}` has a scale of `{scale}`, expected a positive number")]
    GridScale {
        /// Name of the layer.
        layer: String,
        /// The scale.
        scale: f32,
    },
    /// The weight code of a layer is invalid.
    #[error("the weight code of layer `{layer}` cannot be used: {problem}")]
    WeightCode {
        /// Name of the layer.
        layer: String,
        /// What is wrong with the code.
        problem: String,
    },
    /// Calibration gives no values of a layer.
    #[error("calibration gives no values of layer `{layer}`; calibrate with at least one example")]
    EmptyCalibration {
        /// Name of the layer.
        layer: String,
    },
    /// All input values of the calibration are equal.
    #[error(
        "all {count} input values of the calibration are `{value}`, so they say nothing about the ranges of \
         layers; calibrate with examples that differ"
    )]
    ConstantCalibration {
        /// The value.
        value: f32,
        /// Number of values.
        count: u64,
    },
    /// A layer has values that are not finite.
    #[error(
        "layer `{layer}` has values that are not finite on the calibration examples, so they have no range"
    )]
    NotFinite {
        /// Name of the layer.
        layer: String,
    },
    /// No calibrator has this name.
    #[error(
        "there is no calibration `{name}`; expected `min-max`, `percentile`, `percentile-` with a percentage \
         from 50 to 100, `mse` or `entropy`"
    )]
    UnknownCalibrator {
        /// Requested name.
        name: String,
    },
    /// The weights of a quantized network must be integers.
    #[error("weights in {format} are not integers; expected int8 or int4")]
    NotAnInteger {
        /// Requested format.
        format: NumberFormat,
    },
    /// No layer with weights has this name.
    #[error("the network has no convolution or fully connected layer `{name}`")]
    UnknownLayer {
        /// Requested name.
        name: String,
    },
    /// A codebook has too few or too many values.
    #[error("a codebook of {found} values cannot be stored; expected 2 to {limit}")]
    CodebookValues {
        /// Requested number of values.
        found: usize,
        /// Maximum number.
        limit: usize,
    },
    /// A codebook would make no layer smaller.
    #[error(
        "no layer becomes smaller with a codebook of {values} values: layers are too small or not in single \
         precision"
    )]
    NoCodebook {
        /// Requested number of values.
        values: usize,
    },
    /// The architecture is invalid.
    #[error("the architecture of the model cannot be used")]
    Architecture(#[from] SpaceError),
    /// The output is not a vector with one value per class or predicted value.
    #[error(
        "the network outputs {found}, expected a vector with one value for each of the {classes} classes or \
         values of the card"
    )]
    Output {
        /// Shape of the last layer.
        found: Shape,
        /// Number of classes or values that the card names.
        classes: usize,
    },
    /// A number of the card is invalid.
    #[error("`{field}` of the model card is `{value}`, expected {expected}")]
    CardValue {
        /// The field of the card, with its index or name.
        field: String,
        /// The value.
        value: f64,
        /// What is accepted.
        expected: &'static str,
    },
    /// A list of the card does not have one entry per input channel.
    #[error(
        "`{field}` of the model card has {found} entries, expected {expected}, one for each input channel"
    )]
    CardLength {
        /// Name of the field.
        field: &'static str,
        /// Actual number of entries.
        found: usize,
        /// Number of input channels.
        expected: usize,
    },
    /// The input does not have the number of values that the batch needs.
    #[error("the input holds {found} values, expected {expected}: the input shape times the batch")]
    InputLength {
        /// Actual number of values.
        found: usize,
        /// Expected number of values.
        expected: usize,
    },
    /// The format cannot express a layer of the network.
    #[error("{format} cannot express layer `{layer}` ({what})")]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// Name of the layer.
        layer: String,
        /// The property that the format cannot express.
        what: String,
    },
    /// A file, or a part of it, is larger than the format allows.
    #[error("{format} would take {bytes} bytes, but the format allows at most {limit}")]
    TooLarge {
        /// Name of the format, or of the part that is too large.
        format: &'static str,
        /// Size in bytes.
        bytes: u64,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// No exporter has this name.
    #[error("there is no export format `{name}`; the formats are `{}`", known.join("`, `"))]
    UnknownFormat {
        /// Requested name.
        name: String,
        /// Known names.
        known: Vec<String>,
    },
    /// A JSON part of a file cannot be read or written.
    #[error("the {part} is not valid JSON of that kind")]
    Json {
        /// Name of the part.
        part: &'static str,
        /// The parser's error, with line, column and the expected input.
        source: serde_json::Error,
    },
    /// This build does not read the version of a model file.
    #[error(
        "the model file has version {found}, but this program reads version {expected}; read it with the \
         program that wrote it"
    )]
    Version {
        /// Version of the file.
        found: u32,
        /// Version that this build reads.
        expected: u32,
    },
    /// An architecture in a model file contains a number above the limit.
    #[error(
        "the model file holds an architecture with the number {found}, but this program reads numbers up \
         to {limit}"
    )]
    ArchitectureNumber {
        /// The number.
        found: u64,
        /// Maximum number.
        limit: u64,
    },
    /// A model file is damaged.
    #[error("the model file is damaged in its {part} (byte {offset}): {problem}")]
    Damaged {
        /// Name of the damaged part.
        part: &'static str,
        /// Offset in bytes at which the part starts.
        offset: u64,
        /// What is wrong with the part.
        problem: &'static str,
    },
    /// An ONNX file cannot be read as a network of Kiln.
    #[error(transparent)]
    OnnxFile(Box<OnnxError>),
    /// A model file cannot be used. The source states why.
    #[error("cannot use the model file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why the file cannot be used.
        source: Box<ExportError>,
    },
    /// An exported network cannot be written. The source states why.
    #[error("cannot write `{}`", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// Why the network cannot be written.
        source: Box<ExportError>,
    },
    /// A file cannot be read or written, or was damaged.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Reading failed.
    #[error("cannot read the network")]
    Read(#[source] std::io::Error),
    /// Writing failed.
    #[error("cannot write the exported network")]
    Write(#[from] std::io::Error),
}

impl From<OnnxError> for ExportError {
    fn from(error: OnnxError) -> Self {
        Self::OnnxFile(Box::new(error))
    }
}

//! What can go wrong while checking, writing and reading a network.

use std::path::PathBuf;

use kiln_space::{Shape, SpaceError};
use thiserror::Error;

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
    /// The model has an array that belongs to no layer.
    #[error("array `{name}` belongs to no layer of the architecture; arrays are named `<layer>.<part>`")]
    UnknownArray {
        /// Name of the array.
        name: String,
    },
    /// An array does not have the shape that its layer needs.
    #[error("array `{name}` has shape {found:?}, expected {expected:?}")]
    ArrayShape {
        /// Name of the array.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape the layer needs.
        expected: Vec<usize>,
    },
    /// An array does not hold as many values as its shape says.
    #[error("array `{name}` holds {found} values, expected {expected} from its shape")]
    ArrayLength {
        /// Name of the array.
        name: String,
        /// Values found.
        found: usize,
        /// Values that the shape asks for.
        expected: usize,
    },
    /// A value of an array cannot be used.
    #[error("array `{name}` holds `{value}` at position {index}, expected {expected}")]
    ArrayValue {
        /// Name of the array.
        name: String,
        /// Position in the flat array.
        index: usize,
        /// Value found.
        value: f32,
        /// What is accepted.
        expected: &'static str,
    },
    /// A value is of 8 bits, and the model does not say on which grid.
    #[error(
        "the model does not say on which grid the output of layer `{layer}` is rounded to 8 bits; calibrate it"
    )]
    MissingGrid {
        /// Name of the layer.
        layer: String,
    },
    /// The model has a grid for a value that is not of 8 bits.
    #[error(
        "the model has a grid for layer `{layer}`, whose output is not rounded to 8 bits on a grid of its own"
    )]
    UnknownGrid {
        /// Name of the layer.
        layer: String,
    },
    /// A grid cannot be used.
    #[error("the grid of layer `{layer}` has a scale of `{scale}`, expected a positive number")]
    GridScale {
        /// Name of the layer.
        layer: String,
        /// Scale found.
        scale: f32,
    },
    /// The architecture does not hold together.
    #[error("the architecture of the model cannot be used")]
    Architecture(#[from] SpaceError),
    /// The network does not give one value for each class or quantity.
    #[error(
        "the network gives {found}, expected a vector with one value for each of the {classes} classes or values of the card"
    )]
    Output {
        /// Shape of the last layer.
        found: Shape,
        /// Classes or values named by the card.
        classes: usize,
    },
    /// A number of the card cannot be used.
    #[error("`{field}` of the model card is `{value}`, expected {expected}")]
    CardValue {
        /// Field, with its index or name.
        field: String,
        /// Value found.
        value: f64,
        /// What is accepted.
        expected: &'static str,
    },
    /// The card does not state one number for each input channel.
    #[error(
        "`{field}` of the model card has {found} entries, expected {expected}, one for each input channel"
    )]
    CardLength {
        /// Name of the field.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Channels of the input.
        expected: usize,
    },
    /// An input does not hold as many values as the batch needs.
    #[error("the input holds {found} values, expected {expected}: the input shape times the batch")]
    InputLength {
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
    },
    /// The format cannot express a layer.
    #[error("{format} cannot express layer `{layer}` ({what})")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// Name of the layer.
        layer: String,
        /// What it cannot express.
        what: String,
    },
    /// The file would be, or is, larger than the format allows.
    #[error("{format} would take {bytes} bytes, but {limit} is the most that it allows")]
    TooLarge {
        /// The format, or the part of it.
        format: &'static str,
        /// Size asked for.
        bytes: u64,
        /// Largest size.
        limit: u64,
    },
    /// No exporter has this name.
    #[error("there is no export format `{name}`; the formats are `{}`", known.join("`, `"))]
    UnknownFormat {
        /// Name asked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A part that is JSON cannot be read or written.
    #[error("the {part} is not valid JSON of that kind")]
    Json {
        /// Which part.
        part: &'static str,
        /// Line, column and what was expected.
        source: serde_json::Error,
    },
    /// A model file is of a version that this program does not read.
    #[error(
        "the model file has version {found}, but this program reads version {expected}; read it with the program that wrote it"
    )]
    Version {
        /// Version found.
        found: u32,
        /// Version that can be read.
        expected: u32,
    },
    /// A number in a model file's architecture is not one that a network has.
    #[error(
        "the model file states an architecture with the number {found}, but {limit} is the largest that is read"
    )]
    ArchitectureNumber {
        /// Number found.
        found: u64,
        /// Largest number.
        limit: u64,
    },
    /// A model file is damaged.
    #[error("the model file is damaged in its {part} (byte {offset}): {problem}")]
    Damaged {
        /// Which part.
        part: &'static str,
        /// Where the part starts.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file cannot be used; the source says why.
    #[error("cannot use the model file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ExportError>,
    },
    /// An exported network cannot be written; the source says why.
    #[error("cannot write `{}`", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ExportError>,
    },
    /// A whole file cannot be read or written, or is not what was written.
    #[error(transparent)]
    Files(#[from] kiln_files::FileError),
    /// Reading failed.
    #[error("cannot read the network")]
    Read(#[source] std::io::Error),
    /// Writing failed.
    #[error("cannot write the exported network")]
    Write(#[from] std::io::Error),
}

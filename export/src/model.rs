//! A trained network as plain data, and the contract of every exporter.

use std::collections::BTreeMap;
use std::io;

use kiln_space::{Architecture, Registration};
use serde::{Deserialize, Serialize};

use crate::{ExportError, Grid, ModelCard};

/// A named array of single-precision numbers, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// Size along each axis.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub data: Vec<f32>,
}

/// A complete trained network: architecture, arrays and provenance.
///
/// Arrays are named `<layer>.<part>` and have the layer's own size:
///
/// | operation | part | shape |
/// |---|---|---|
/// | `Conv2d` | `weight` | `[out_channels, in_channels / groups, kernel_h, kernel_w]` |
/// | `Conv2d`, `Linear` with bias | `bias` | `[out]` |
/// | `Linear` | `weight` | `[out_features, in_features]` |
/// | `BatchNorm` | `scale`, `shift`, `mean`, `variance` | `[channels]` |
///
/// They are in single precision for 8-bit layers too; the integers follow from them
/// ([`crate::QuantizedNetwork`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The network.
    pub architecture: Architecture,
    /// Weights and batch-norm statistics by name.
    pub arrays: BTreeMap<String, Array>,
    /// Grids of the values that are stored or read in 8 bits, by the name of the layer that outputs the value
    /// ([`crate::QuantizationPlan::owners`]). Empty for a network in single precision.
    pub quantization: BTreeMap<String, Grid>,
    /// Provenance, preprocessing and measurements.
    pub card: ModelCard,
}

/// Writes a trained network in one format.
pub trait Exporter: Send + Sync {
    /// File extension, without the dot.
    fn extension(&self) -> &'static str;

    /// Writes the network. The exported graph takes raw input values (see [`crate::Preprocessing`]) and
    /// normalizes them itself.
    ///
    /// # Errors
    /// [`ExportError`] when the model is invalid, the format cannot express a layer, or writing fails.
    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError>;

    /// The content of the files by relative path, for a format of several files; `None` for a format of one
    /// file.
    ///
    /// # Errors
    /// As [`Exporter::export`], except for errors of writing.
    fn folder(&self, model: &TrainedModel) -> Result<Option<BTreeMap<String, Vec<u8>>>, ExportError> {
        let _ = model;
        Ok(None)
    }
}

/// Builds an exporter.
pub type ExporterBuilder = fn() -> Box<dyn Exporter>;

/// An exporter as it is registered.
pub type ExporterPart = Registration<ExporterBuilder, ReadBack>;

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;

/// Content of files by relative path.
pub type FolderFiles = BTreeMap<String, Vec<u8>>;

/// How tests read the arrays of an exported network back, by name. More than the network's arrays may be
/// there. The functions may panic.
#[derive(Clone, Copy, Debug)]
pub enum ReadBack {
    /// From the bytes of the only file.
    File(fn(&[u8]) -> Arrays),
    /// From the content of all files by relative path, for a format of several files.
    Folder(fn(&FolderFiles) -> Arrays),
}

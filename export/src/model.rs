//! A trained network as plain data, and the trait that every exporter implements.

use std::collections::BTreeMap;
use std::io;

use kiln_space::{Architecture, Registration};
use serde::{Deserialize, Serialize};

use crate::{ExportError, GraphOptimization, Grid, ModelCard, WeightCode};

/// A named array of single-precision numbers, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// Size along each axis.
    pub shape: Vec<usize>,
    /// Values in row-major order: the last axis varies fastest.
    pub data: Vec<f32>,
}

/// A complete trained network: architecture, arrays and provenance.
///
/// Arrays are named `<layer>.<part>`. Their shapes are those of the layer itself, not of a shared parameter:
///
/// | operation | part | shape |
/// |---|---|---|
/// | `Conv2d` | `weight` | `[out_channels, in_channels / groups, kernel_h, kernel_w]` |
/// | `Conv2d`, `Linear` with bias | `bias` | `[out]` |
/// | `Linear` | `weight` | `[out_features, in_features]` |
/// | `BatchNorm` | `scale`, `shift`, `mean`, `variance` | `[channels]` |
///
/// Arrays are in single precision, even those of layers in other formats. [`crate::QuantizedNetwork`]
/// computes the integers from them, and [`crate::stored_weights`] the weights in half precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The network.
    pub architecture: Architecture,
    /// Weights and batch normalization statistics by name.
    pub arrays: BTreeMap<String, Array>,
    /// Quantization grids of the values that are stored or read in 8 bits. The keys are the names of the
    /// layers that own a grid ([`crate::QuantizationPlan::owners`]). Empty for a network in single precision.
    pub quantization: BTreeMap<String, Grid>,
    /// How weights are stored, by layer, where the number format alone does not state it: the steps of
    /// integers, or a codebook. Most networks have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weight_codes: BTreeMap<String, WeightCode>,
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

    /// Returns the network whose arrays the files contain. It computes the same outputs as `model`, but a
    /// format may fold layers into others.
    fn written(&self, model: &TrainedModel) -> TrainedModel {
        model.clone()
    }

    /// Returns what optimizing the graph saved, for the model card. Returns `None` if the format has no
    /// graph.
    ///
    /// # Errors
    /// The errors of [`Exporter::export`], except those of writing.
    fn optimization(&self, model: &TrainedModel) -> Result<Option<GraphOptimization>, ExportError> {
        let _ = model;
        Ok(None)
    }

    /// Returns the contents of the files by relative path, if the format consists of several files. Returns
    /// `None` if the format is a single file.
    ///
    /// # Errors
    /// The errors of [`Exporter::export`], except those of writing.
    fn folder(&self, model: &TrainedModel) -> Result<Option<BTreeMap<String, Vec<u8>>>, ExportError> {
        let _ = model;
        Ok(None)
    }
}

/// Builds an exporter.
pub type ExporterBuilder = fn() -> Box<dyn Exporter>;

/// The registry entry of an exporter.
pub type ExporterPart = Registration<ExporterBuilder, ReadBack>;

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;

/// Contents of files by relative path.
pub type FolderFiles = BTreeMap<String, Vec<u8>>;

/// Functions with which tests read an exported network's arrays back. The functions return arrays by name,
/// possibly more arrays than the network has. The functions may panic.
#[derive(Clone, Copy, Debug)]
pub enum ReadBack {
    /// Reads the bytes of the only file.
    File(fn(&[u8]) -> Arrays),
    /// Reads the contents of all files by relative path, for a format of several files.
    Folder(fn(&FolderFiles) -> Arrays),
}

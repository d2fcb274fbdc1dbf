//! A trained network as plain data, and the contract of every exporter.

use std::collections::BTreeMap;
use std::io;

use kiln_space::Architecture;
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

/// Architecture, arrays and provenance: all that a network is once it is trained.
///
/// Arrays are named `<layer>.<part>`, each already cut to the layer's own size:
///
/// | operation | part | shape |
/// |---|---|---|
/// | `Conv2d` | `weight` | `[out_channels, in_channels / groups, kernel_h, kernel_w]` |
/// | `Conv2d`, `Linear` with bias | `bias` | `[out]` |
/// | `Linear` | `weight` | `[out_features, in_features]` |
/// | `BatchNorm` | `scale`, `shift`, `mean`, `variance` | `[channels]` |
///
/// They are single precision for layers of 8 bits too, whose integers follow from them ([`crate::QuantizedNetwork`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedModel {
    /// The network.
    pub architecture: Architecture,
    /// Weights and batch-norm statistics by name.
    pub arrays: BTreeMap<String, Array>,
    /// Grids of the values that are kept or read in 8 bits, by the layer that gives them
    /// ([`crate::QuantizationPlan::owners`]); empty for a network in single precision.
    pub quantization: BTreeMap<String, Grid>,
    /// Where it comes from, what it expects and what was measured.
    pub card: ModelCard,
}

/// Writes a trained network in one format.
pub trait Exporter: Send + Sync {
    /// File extension, without the dot.
    fn extension(&self) -> &'static str;

    /// Writes the network. The graph takes raw input values (see [`crate::Preprocessing`]) and normalizes them itself.
    ///
    /// # Errors
    /// [`ExportError`] when an array is missing or has the wrong shape, the format cannot express a layer, or writing fails.
    fn export(&self, model: &TrainedModel, out: &mut dyn io::Write) -> Result<(), ExportError>;

    /// The files by their paths, for a format that is a folder of several; `None` for one that is a single file.
    ///
    /// # Errors
    /// As [`Exporter::export`], without the writing.
    fn folder(&self, model: &TrainedModel) -> Result<Option<BTreeMap<String, Vec<u8>>>, ExportError> {
        let _ = model;
        Ok(None)
    }
}

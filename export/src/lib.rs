#![doc = include_str!("../README.md")]

mod calendar;
mod card;
mod check;
#[cfg(test)]
mod damaged;
mod error;
mod files;
mod folding;
mod inputs;
mod model;
mod model_file;
mod onnx;
pub mod page;
mod plain;
pub mod pruning;
mod quantization;
mod reference;
mod registry;
mod rust_module;
mod safetensors;
mod test_results;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use self::safetensors::{Safetensors, read_safetensors};
pub use calendar::{Date, civil};
pub use card::{CompressedRecord, GraphOptimization, MetricRecord, ModelCard, Prediction, Preprocessing};
pub use check::expected_arrays;
pub use error::ExportError;
pub use files::write_files;
pub use folding::folded;
pub use inputs::{InputKind, InputRecord};
pub use model::{
    Array, Arrays, Exporter, ExporterBuilder, ExporterPart, FolderFiles, ReadBack, TrainedModel,
};
pub use onnx::{Onnx, OnnxError};
pub use plain::{plain_json, plain_lines, plain_text, steers};
pub use quantization::{
    ActivationStatistics, CODEBOOK_MAX, Calibration, Calibrator, Grid, Histogram, QuantizationOptions,
    QuantizationPlan, QuantizedKernel, QuantizedNetwork, StoredWeights, WeightCode, best_steps,
    bias_corrected, equalized, rounded_arrays, stated_limit, stored_weights, stores_narrow_weights,
    with_codebooks, with_narrow_weights,
};
pub(crate) use quantization::{index_bits, pack, unpack};
pub use reference::run_reference;
pub use registry::ExporterRegistry;
pub use rust_module::{RustModule, WEIGHTS_FILE};
pub use test_results::{
    CardVersion, ClassResult, Confused, PredictedBy, SplitSizes, TestResults, UnknownCardVersion, ValueResult,
};

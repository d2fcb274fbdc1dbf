#![doc = include_str!("../README.md")]

mod card;
mod check;
#[cfg(test)]
mod damaged;
mod error;
mod model;
mod model_file;
mod onnx;
mod quantization;
mod reference;
mod registry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use card::{MetricRecord, ModelCard, Prediction, Preprocessing};
pub use check::expected_arrays;
pub use error::ExportError;
pub use model::{Array, Exporter, TrainedModel};
pub use onnx::Onnx;
pub use quantization::{Grid, QuantizationPlan, QuantizedKernel, QuantizedNetwork};
pub use reference::run_reference;
pub use registry::ExporterRegistry;

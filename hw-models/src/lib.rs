#![doc = include_str!("../README.md")]

mod agreement;
mod calibration;
mod cost;
mod demand;
mod device;
mod error;
mod evaluation;
mod fitted;
mod fusion;
mod kernels;
mod measurements;
pub mod measuring;
mod memory;
mod registry;
mod rescaling;
mod roofline;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod work;

pub use agreement::{Agreement, Comparison, Measured, spearman};
pub use calibration::{Calibration, Fit, FitReport, FittedNumber, NETWORKS_MIN};
pub use cost::{Conditions, Cost, CostModel, Estimate, Interval};
pub use device::{
    AddsUp, Device, Efficiency, Energy, Memory, NOfMSpeedup, Number, RelativeError, SparsitySupport,
};
pub use error::{CsvProblem, HwError, Lack};
pub use evaluation::{Evaluation, EvaluationRow, EvaluationTable, OwnPredictor, Summary, kendall};
pub use fitted::{
    Finding, Fitted, FittedNetworks, FittedReport, RegressionKind, ShippedPredictor, ShippedPredictors,
    Transfer, WeighedKind,
};
pub use fusion::{Kernel, Schedule};
pub use kernels::{
    FittedKernels, FormatReport, KernelFile, KernelKind, KernelShape, Kernels, KernelsReport, MeasuredKernel,
    NoKernel, OddKernel, choose_kernels, distinct_kernels, fit_overhead,
};
pub use measurements::{KeyFile, LatencyUnit, MeasurementFile, Measurements, Repeats, genotype};
pub use memory::{model_bytes, peak_memory_bytes};
pub use registry::{HardwareRegistry, ModelBuilder, ModelPart};
pub use roofline::Roofline;
pub use table::KernelTable;

//! Calibration: statistics of activations, and the quantization grids that follow from them. Everything here
//! is a pure function of the statistics. An executor collects them.

mod calibrator;
mod entropy;
mod histogram;
mod statistics;

pub use self::calibrator::Calibrator;
pub use self::histogram::Histogram;
pub use self::statistics::{ActivationStatistics, Calibration};

//! Calibration: fits the assumed numbers of a device file to measured latencies. See `docs/calibration.md`.

mod objective;
mod parameter;
mod report;
mod solve;

use self::objective::{Network, Objective};
use self::parameter::{Parameter, significant};
pub use self::report::{FitReport, FittedNumber};
use crate::demand::Constants;
use crate::{Agreement, Device, HwError, Measured, Number, Roofline};

/// Minimum number of networks for a fit. An interval that contains nine of ten measurements needs at least
/// nine residuals.
pub const NETWORKS_MIN: usize = 10;
/// Fraction of measurements that an interval should contain.
const HELD: f64 = 0.9;
/// Minimum change of a number's logarithm. If a fit changes a number by less, the measurements do not
/// determine the number, so the number keeps its old value.
const UNTOLD: f64 = 5e-3;

/// Settings of a fit.
///
/// # Example
/// ```
/// use kiln_hw_models::{Calibration, CostModel, Device, Measured, Roofline};
/// use kiln_space::{ArchitectureBuilder, Shape};
///
/// let device = Device::builtin("cortex-a72")?;
/// let model = Roofline::new(device.clone(), 1, 1);
/// let mut measured = Vec::new();
/// for width in 1..=20 {
///     let mut b = ArchitectureBuilder::new(Shape::new(3, 32, 32));
///     b.conv("conv", b.input(), 8 * width, 3, 1, 1)?;
///     let architecture = b.finish()?;
///     // A device whose convolutions are 1.5 times slower than its file states.
///     let latency_us = 1.5 * model.network(&architecture)?.latency_us.value;
///     measured.push(Measured { architecture, latency_us, standard_error: 0.0 });
/// }
/// let fit = Calibration::new("measured.csv", "latency_us").fit(&device, &measured)?;
/// assert!(fit.report.before.mean_error_percent > 30.0);
/// assert!(fit.report.held_out.mean_error_percent < 3.0);
/// assert!(fit.device.efficiency.dense_conv.source.starts_with("fitted to 20 networks of measured.csv"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// Name of the measurement file. The sources of fitted numbers state it.
    pub file: String,
    /// Name of the measured column. The sources of fitted numbers state it.
    pub column: String,
    /// Batch size of every measurement.
    pub batch: u64,
    /// Number of threads of every measurement.
    pub threads: u64,
    /// Number of folds for cross-validation: at least 2, and at most the number of networks.
    pub folds: usize,
}

/// A calibrated device and its report.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The device. The sources of its fitted numbers name the measurements.
    pub device: Device,
    /// Changed numbers and prediction errors.
    pub report: FitReport,
}

impl Calibration {
    /// Creates a calibration with five folds, for measurements with batch 1 on one thread.
    #[must_use]
    pub fn new(file: impl Into<String>, column: impl Into<String>) -> Self {
        Self { file: file.into(), column: column.into(), batch: 1, threads: 1, folds: 5 }
    }

    /// Fits the device to measurements. The order of the measurements matters only among equal latencies.
    ///
    /// # Errors
    /// - [`HwError::TooFewMeasurements`] when there are fewer than [`NETWORKS_MIN`] networks.
    /// - [`HwError::Latency`] for a latency that is not positive.
    /// - [`HwError::Solver`] when the solver fails.
    /// - The errors of [`Roofline`] for a network that it cannot predict.
    pub fn fit(&self, device: &Device, measured: &[Measured]) -> Result<Fit, HwError> {
        if measured.len() < NETWORKS_MIN {
            return Err(HwError::TooFewMeasurements { found: measured.len(), needed: NETWORKS_MIN });
        }
        let model = Roofline::new(device.clone(), self.batch, self.threads);
        let file = model.constants();
        let networks = networks(&model, measured)?;
        let parameters = Parameter::of(&file, &networks.iter().flat_map(Network::demands));
        let solve = |networks: Vec<&Network>| solved(&parameters, &file, networks);

        let (constants, values) = solve(networks.iter().collect())?;
        let pairs_by = |constants: &Constants| -> Vec<(f64, f64)> {
            networks.iter().map(|network| (network.predicted_us(constants), network.measured_us)).collect()
        };
        let folds = self.folds.clamp(2, networks.len());
        let mut held_out = Vec::with_capacity(networks.len());
        for fold in 0..folds {
            // The networks are sorted by latency. Taking every `folds`-th network gives each fold fast and
            // slow networks.
            let others = networks.iter().enumerate().filter(|(i, _)| i % folds != fold);
            let (constants, _) = solve(others.map(|(_, network)| network).collect())?;
            let held = networks.iter().skip(fold).step_by(folds);
            held_out.extend(held.map(|network| (network.predicted_us(&constants), network.measured_us)));
        }
        let latency_relative_90 = relative_90(&held_out);
        let report = FitReport {
            device: device.name.clone(),
            networks: networks.len(),
            folds,
            fitted: fitted(&parameters, &file, &values),
            before: Agreement::new(&pairs_by(&file)),
            in_sample: Agreement::new(&pairs_by(&constants)),
            held_out: Agreement::new(&held_out),
            latency_relative_90,
        };
        let device = self.written(device, &parameters, &file, &values, &report);
        Ok(Fit { device, report })
    }

    /// Returns the device with the fitted numbers written into it.
    fn written(
        &self,
        device: &Device,
        parameters: &[Parameter],
        file: &Constants,
        values: &[f64],
        report: &FitReport,
    ) -> Device {
        let mut device = device.clone();
        let origin = format!("{} networks of {}, column {}", report.networks, self.file, self.column);
        let source = format!("fitted to {origin} (batch {}, threads {})", self.batch, self.threads);
        for (parameter, value) in parameters.iter().zip(values) {
            if is_told(parameter.start(file), *value) {
                parameter.write(&mut device, *value, &source);
            }
        }
        device.calibration = Some(identifier(&self.file, &self.column, report.networks));
        device.error.latency_relative_90 = Number {
            value: report.latency_relative_90,
            source: format!(
                "nine of ten of {origin}, each predicted by a fit to the others in {} folds",
                report.folds
            ),
        };
        device
    }
}

/// Converts the networks to kernels and sorts them by measured latency.
fn networks(model: &Roofline, measured: &[Measured]) -> Result<Vec<Network>, HwError> {
    let mut networks = Vec::with_capacity(measured.len());
    for (index, Measured { architecture, latency_us, standard_error }) in measured.iter().enumerate() {
        let network = Network::new(model.demands(architecture)?, *latency_us, *standard_error);
        let predicted = network.predicted_us(&model.constants());
        for (what, value) in [("measured", *latency_us), ("predicted", predicted)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(HwError::Latency { index, what, found: value });
            }
        }
        networks.push(network);
    }
    networks.sort_by(|a, b| a.measured_us.total_cmp(&b.measured_us));
    Ok(networks)
}

/// Fits to `networks`. Returns the constants and the parameter values, rounded as in a device file.
fn solved(
    parameters: &[Parameter],
    file: &Constants,
    networks: Vec<&Network>,
) -> Result<(Constants, Vec<f64>), HwError> {
    let logs = solve::minimum(&Objective::new(parameters, *file, networks))?;
    let mut constants = *file;
    let mut values = Vec::with_capacity(parameters.len());
    for (parameter, log) in parameters.iter().zip(&logs) {
        let (start, value) = (parameter.start(file), parameter.rounded(log.exp()));
        if is_told(start, value) {
            parameter.put(&mut constants, file, value);
            values.push(value);
        } else {
            values.push(start);
        }
    }
    Ok((constants, values))
}

/// Returns whether the fit changed a value enough to keep the change.
fn is_told(start: f64, value: f64) -> bool {
    (value / start).ln().abs() >= UNTOLD
}

fn fitted(parameters: &[Parameter], file: &Constants, values: &[f64]) -> Vec<FittedNumber> {
    let numbers =
        parameters.iter().zip(values).filter(|(parameter, value)| is_told(parameter.start(file), **value));
    let numbers = numbers.map(|(parameter, &after)| {
        let (low, high) = parameter.limits();
        let at_limit = after <= low * (1.0 + UNTOLD) || after >= high * (1.0 - UNTOLD);
        FittedNumber { key: parameter.key().to_owned(), before: parameter.start(file), after, at_limit }
    });
    numbers.collect()
}

/// Returns the relative interval that contains nine of ten held-out `(predicted, measured)` pairs.
///
/// Source: J. Lei, M. G'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, Distribution-free predictive inference
/// for regression, Journal of the American Statistical Association 113(523), 2018, algorithm 2. Like
/// algorithm 2, this function takes the residual of rank `ceil((n + 1) 0.9)`. But here the residuals are
/// log-ratios, and they come from cross-validation instead of one split.
fn relative_90(held_out: &[(f64, f64)]) -> f64 {
    let mut residuals: Vec<f64> =
        held_out.iter().map(|(predicted, measured)| (predicted / measured).ln().abs()).collect();
    residuals.sort_by(f64::total_cmp);
    let rank = ((residuals.len() as f64 + 1.0) * HELD).ceil() as usize;
    significant(residuals[rank.min(residuals.len()) - 1].exp_m1())
}

/// Returns the last part of the model's name. This part describes the measurements with letters, digits, `-`,
/// `.` and `_`.
fn identifier(file: &str, column: &str, networks: usize) -> String {
    let text = format!("fitted-{file}-{column}-{networks}").to_lowercase();
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests;

//! The objective of a fit. It is a robust sum of relative errors, plus a penalty for changing the numbers of
//! the device file.

use argmin::core::{CostFunction, Error};

use super::parameter::Parameter;
use crate::demand::{Constants, Demand};

/// Expected relative error of a prediction. The objective divides errors by it.
const SCATTER: f64 = 0.1;
/// Errors larger than this multiple of the expected error count linearly instead of quadratically. Source: P.
/// Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 35(1), 1964. This
/// value is 95 % efficient for normally distributed errors.
const HUBER: f64 = 1.345;
/// Expected error of the numbers in the device file, as a logarithm. It corresponds to a factor of about two.
const TRUST: f64 = 0.7;
/// Weight of the penalty for parameters outside their limits. The penalty is the squared distance from the
/// limits.
const OUTSIDE: f64 = 1e4;

/// A measured network: its distinct kernels, and how often the network contains each kernel.
#[derive(Clone, Debug)]
pub(super) struct Network {
    kernels: Vec<(Demand, f64)>,
    pub(super) measured_us: f64,
    /// Expected relative error of the prediction.
    scatter: f64,
}

impl Network {
    /// Groups equal kernels and counts them. `standard_error` is the relative standard error of the
    /// measurement.
    pub(super) fn new(mut demands: Vec<Demand>, measured_us: f64, standard_error: f64) -> Self {
        let key = |d: &Demand| {
            [
                d.kind as usize as f64,
                d.operations,
                d.peak_per_s,
                d.parallel,
                d.external_bytes,
                d.on_chip_bytes,
            ]
        };
        demands.sort_by(|a, b| {
            let mut pairs = key(a).into_iter().zip(key(b));
            pairs
                .find_map(|(a, b)| Some(a.total_cmp(&b)).filter(|order| order.is_ne()))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let kernels = demands.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as f64)).collect();
        // Repeated measurements reduce only the noise of the measurement, and the error of the formula
        // remains. So ten repeated measurements do not count as ten networks. Repeated measurements with a
        // large spread count less than one measurement.
        Self { kernels, measured_us, scatter: SCATTER.hypot(standard_error) }
    }

    pub(super) fn demands(&self) -> impl Iterator<Item = &Demand> + Clone {
        self.kernels.iter().map(|(demand, _)| demand)
    }

    pub(super) fn predicted_us(&self, constants: &Constants) -> f64 {
        self.kernels.iter().map(|(demand, count)| constants.latency_us(demand) * count).sum()
    }
}

/// The objective as a function of the parameters' logarithms.
#[derive(Clone, Debug)]
pub(super) struct Objective<'a> {
    parameters: &'a [Parameter],
    file: Constants,
    networks: Vec<&'a Network>,
    start: Vec<f64>,
}

impl<'a> Objective<'a> {
    pub(super) fn new(parameters: &'a [Parameter], file: Constants, networks: Vec<&'a Network>) -> Self {
        let start = parameters.iter().map(|parameter| parameter.start(&file).ln()).collect();
        Self { parameters, file, networks, start }
    }

    /// Returns the logarithms of the values in the device file.
    pub(super) fn start(&self) -> &[f64] {
        &self.start
    }

    /// Converts logarithms to constants, clamped to the limits of the parameters.
    fn constants(&self, logs: &[f64]) -> Constants {
        let mut constants = self.file;
        for (parameter, log) in self.parameters.iter().zip(logs) {
            let (low, high) = parameter.limits();
            parameter.put(&mut constants, &self.file, log.exp().clamp(low, high));
        }
        constants
    }

    fn value(&self, logs: &[f64]) -> f64 {
        let constants = self.constants(logs);
        let misfit = |network: &&Network| {
            huber((network.predicted_us(&constants) / network.measured_us).ln() / network.scatter)
        };
        let distance = self.start.iter().zip(logs).map(|(start, log)| ((log - start) / TRUST).powi(2) / 2.0);
        let outside = self.parameters.iter().zip(logs).map(|(parameter, log)| {
            let (low, high) = parameter.limits();
            OUTSIDE * (log - log.clamp(low.ln(), high.ln())).powi(2)
        });
        self.networks.iter().map(misfit).sum::<f64>() + distance.chain(outside).sum::<f64>()
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, logs: &Self::Param) -> Result<f64, Error> {
        Ok(self.value(logs))
    }
}

/// The Huber loss: quadratic for small errors, linear for large ones.
fn huber(error: f64) -> f64 {
    let size = error.abs();
    if size <= HUBER { size * size / 2.0 } else { HUBER * (size - HUBER / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_with_scattered_repeats_has_less_weight() {
        let misfit = |standard_error| {
            let network = Network::new(Vec::new(), 100.0, standard_error);
            huber((110.0_f64 / network.measured_us).ln() / network.scatter)
        };
        let (single, steady, loose) = (misfit(0.0), misfit(0.001), misfit(0.2));
        assert!((single - huber(1.1_f64.ln() / SCATTER)).abs() <= 0.0, "one measurement counts as it did");
        assert!(
            (steady / single - 1.0).abs() < 1e-3 && (loose / single - 0.2).abs() < 1e-3,
            "{steady}, {loose}"
        );
    }

    #[test]
    fn huber_is_linear_for_large_errors() {
        assert!((huber(-1.0) - 0.5).abs() < 1e-15);
        assert!((huber(HUBER) - HUBER * HUBER / 2.0).abs() < 1e-15);
        assert!((huber(12.0) - huber(-11.0) - HUBER).abs() < 1e-12);
    }
}

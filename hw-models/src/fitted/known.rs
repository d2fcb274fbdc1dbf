//! A ridge regression on the latencies of known devices alone.

use kiln_regression::{dot, ridge};

use super::rows::Row;

/// Weight of the squared coefficients.
const PENALTY: f64 = 0.1;

/// Predicts the logarithm of latency from those of the known devices.
#[derive(Clone, Debug)]
pub(crate) struct KnownDevices {
    /// Mean and deviation of each known device's logarithm; an infinite deviation leaves it out.
    scales: Vec<(f64, f64)>,
    mean: f64,
    coefficients: Vec<f64>,
}

impl KnownDevices {
    /// Fits to networks and the logarithms of their latencies.
    pub(crate) fn fit(rows: &[Row], logs: &[f64]) -> Self {
        Self::of_points(rows.iter().map(|row| row.logs.as_slice()), logs)
    }

    fn of_points<'a>(points: impl ExactSizeIterator<Item = &'a [f64]> + Clone, logs: &[f64]) -> Self {
        let width = points.clone().next().map_or(0, <[f64]>::len);
        let count = points.len().max(1) as f64;
        let scale = |column: usize| {
            let mean = points.clone().map(|point| point[column]).sum::<f64>() / count;
            let square = points.clone().map(|point| (point[column] - mean).powi(2)).sum::<f64>() / count;
            (mean, if square > 0.0 { square.sqrt() } else { f64::INFINITY })
        };
        let scales: Vec<(f64, f64)> = (0..width).map(scale).collect();
        let scaled: Vec<Vec<f64>> = points.map(|point| in_scales(point, &scales)).collect();
        let mean = logs.iter().sum::<f64>() / count;
        let targets: Vec<f64> = logs.iter().map(|log| log - mean).collect();
        let coefficients = ridge(&scaled, &targets, PENALTY);
        Self { scales, mean, coefficients }
    }

    /// The predicted logarithm of latency.
    pub(crate) fn predict(&self, row: &Row) -> f64 {
        self.mean + dot(&in_scales(&row.logs, &self.scales), &self.coefficients)
    }
}

fn in_scales(point: &[f64], scales: &[(f64, f64)]) -> Vec<f64> {
    point.iter().zip(scales).map(|(value, (mean, deviation))| (value - mean) / deviation).collect()
}

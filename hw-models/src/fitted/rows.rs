//! Features as the regression reads them: in deviations from the mean of many networks.

use serde::{Deserialize, Serialize};

use super::features::NAMED;
use super::process::Place;

/// Mean and scale of each feature over many networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scales {
    centers: Vec<f64>,
    /// 0 for a feature that does not vary.
    factors: Vec<f64>,
    /// Mean logarithm of each known device's latency.
    known: Vec<f64>,
}

/// A network as the regression reads it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) named: Vec<f64>,
    pub(crate) sketch: Vec<f64>,
    /// Squared lengths of `named` and `sketch`.
    pub(crate) squares: [f64; 2],
    /// Latencies of known devices, in their typical latency, less `prior`.
    pub(crate) known: Vec<f64>,
    /// Logarithms of the known devices' latencies, in their typical latencies.
    pub(crate) logs: Vec<f64>,
    /// Geometric mean of the known devices' latencies, in their typical latencies; 1 without such devices.
    pub(crate) prior: f64,
}

impl Scales {
    /// The scales of networks, given their features and their latencies on known devices.
    pub(crate) fn new<'a>(networks: impl Iterator<Item = (&'a [f64], &'a [f64])> + Clone) -> Self {
        let count = networks.clone().count().max(1) as f64;
        let width = networks.clone().next().map_or((0, 0), |(features, known)| (features.len(), known.len()));
        let mut centers = vec![0.0; width.0];
        let mut logs = vec![0.0; width.1];
        for (features, known) in networks.clone() {
            for (center, feature) in centers.iter_mut().zip(features) {
                *center += feature / count;
            }
            for (log, latency) in logs.iter_mut().zip(known) {
                *log += latency.ln() / count;
            }
        }
        let mut squares = vec![0.0; width.0];
        for (features, _) in networks {
            for ((square, feature), center) in squares.iter_mut().zip(features).zip(&centers) {
                *square += (feature - center).powi(2) / count;
            }
        }
        // Sums of equal numbers differ from their mean by rounding.
        let varies = |(square, center): (&f64, &f64)| {
            if square.sqrt() > 1e-9 * center.abs() && *square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
        };
        let mut factors: Vec<f64> = squares.iter().zip(&centers).map(varies).collect();
        for part in [0..NAMED.min(width.0), NAMED.min(width.0)..width.0] {
            let varying = factors[part.clone()].iter().filter(|factor| **factor > 0.0).count().max(1) as f64;
            for factor in &mut factors[part] {
                // Inner products are means over features.
                *factor /= varying.sqrt();
            }
        }
        Self { centers, factors, known: logs }
    }

    /// A network in these scales.
    pub(crate) fn row(&self, features: &[f64], known: &[f64]) -> Row {
        let mut named: Vec<f64> = features
            .iter()
            .zip(self.centers.iter().zip(&self.factors))
            .map(|(feature, (center, factor))| (feature - center) * factor)
            .collect();
        let sketch = named.split_off(NAMED.min(named.len()));
        // Features that never vary would only be multiplied.
        let keep = |values: Vec<f64>, from: usize| -> Vec<f64> {
            let factors = &self.factors[from.min(self.factors.len())..];
            values
                .into_iter()
                .zip(factors)
                .filter(|(_, factor)| **factor > 0.0)
                .map(|(value, _)| value)
                .collect()
        };
        let (named, sketch) = (keep(named, 0), keep(sketch, NAMED));
        let count = known.len().max(1) as f64;
        let logs: Vec<f64> = known.iter().zip(&self.known).map(|(latency, log)| latency.ln() - log).collect();
        let prior = (logs.iter().sum::<f64>() / count).exp();
        let known = logs.iter().map(|log| (log.exp() - prior) / count.sqrt()).collect();
        let squares = [&named, &sketch].map(|values| values.iter().map(|value| value * value).sum());
        Row { named, sketch, squares, known, logs, prior }
    }

    /// Features that vary among the networks.
    pub(crate) fn varying(&self) -> Vec<usize> {
        let factors = self.factors.iter().enumerate();
        factors.filter(|(_, factor)| **factor > 0.0).map(|(feature, _)| feature).collect()
    }

    /// Mean of each feature.
    pub(crate) fn centers(&self) -> &[f64] {
        &self.centers
    }

    /// Whether there are numbers for this many features and known devices, all of which can be computed with.
    pub(crate) fn is_whole(&self, features: usize, known: usize, usable: impl Fn(f64) -> bool) -> bool {
        let lengths = [self.centers.len(), self.factors.len()];
        let mut all = self.centers.iter().chain(&self.factors).chain(&self.known);
        lengths == [features; 2]
            && self.known.len() == known
            && all.all(|value| usable(*value))
            && self.factors.iter().all(|factor| *factor >= 0.0)
    }
}

impl Row {
    /// Where the network stands on a base.
    pub(crate) fn place(&self, typical: f64, base: f64) -> Place {
        Place { scale: typical / base, prior: self.prior * typical / base }
    }
}
